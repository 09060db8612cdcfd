"""Checkpoint: find the weights of this network in a file before anything is built from it."""
