"""Ratios, each measured in one run, since machines differ and are noisy: `make bench`."""
