"""Training of the bundled weights (`make train`)."""
