"""Compatibility with Open Model Zoo: its command lines, layout and conversion arguments."""
