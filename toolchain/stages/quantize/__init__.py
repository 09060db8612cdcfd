"""Quantize: an IR whose convolutions compute in 8-bit integers."""
