"""Frames in: generated composites with known truth, and pictures of real scenes."""
