"""Layers: where in the graph the converted model departs from the original."""
