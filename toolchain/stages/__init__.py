"""One module a stage, one public function each: frozen inputs to a frozen result."""
