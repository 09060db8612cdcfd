"""The plainest way from a clean plate to a matte; what a network has to beat."""

from __future__ import annotations

import numpy as np

from toolchain.definitions.arrays import Floats, Pixels


def plain_key(src: Pixels, bgr: Pixels, low: float = 0.05, high: float = 0.20) -> Floats:
    """The largest channel's |src - bgr| ramped from 0 at `low` to 1 at `high`.

    `src`, `bgr`: H x W x 3 uint8; `low`, `high`: of the range 0..1.  Gives H x W float32, 0..1.
    """
    difference = np.abs(src.astype(np.float32) - bgr).max(2) / 255
    return np.asarray(np.clip((difference - low) / (high - low), 0, 1), np.float32)
