"""How the bundled weights came about: `make train` repeats it."""
