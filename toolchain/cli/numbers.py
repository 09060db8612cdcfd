"""Numbers as arguments."""

from __future__ import annotations

import argparse


def positive(text: str) -> int:
    """A whole number over 0; raises ArgumentTypeError for anything else."""
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a positive integer (got {text!r})")
