"""Stages: one package each, with a request, a result, and one public function."""
