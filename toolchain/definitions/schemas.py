"""Versions of the records that stages write and other stages read."""

from __future__ import annotations

from typing import Final

VALIDATION: Final = 2
EVALUATION: Final = 2
LATENCY: Final = 1
