"""Validate: every variant of the converted model against the network in float64."""
