"""Benchmarks (`make bench`): ratios measured within one run, as machines differ and are noisy."""
