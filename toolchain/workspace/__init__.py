"""Where results lie, and how a file gets there whole or not at all."""
