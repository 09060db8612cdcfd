"""Difference keys as a baseline: a plain one, and the best one for a set of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from toolchain.definitions.arrays import Floats, Pixels
from toolchain.frames.frame import Frame

BLURS = (0.0, 1.0, 2.0, 4.0, 8.0)
LOWS = (0.004, 0.008, 0.012, 0.02, 0.03, 0.05, 0.08, 0.12, 0.16)
RAMPS = (0.004, 0.012, 0.03, 0.06, 0.1, 0.2)
EVERY = 2  # every second row and column is scored, which hardly changes the mean
Halves = npt.NDArray[np.float16]


def plain_key(src: Pixels, bgr: Pixels, low: float = 0.05, high: float = 0.20) -> Floats:
    """Ramp the largest channel's |src - bgr| from 0 at `low` to 1 at `high`.

    Args:
        src: The frame, H x W x 3, uint8.
        bgr: The clean plate, H x W x 3, uint8.
        low: Difference, 0..1, up to which alpha is 0.
        high: Difference, 0..1, from which alpha is 1.

    Returns:
        Alpha, H x W, float32, 0..1.
    """
    difference = np.abs(src.astype(np.float32) - bgr).max(2) / 255
    return np.asarray(np.clip((difference - low) / (high - low), 0, 1), np.float32)


@dataclass(frozen=True)
class TunedKey:
    """`mad`: alpha MAD x1000 on the set; `blur` in pixels; `low`, `ramp`: of the range 0..1."""

    mad: float
    blur: float
    low: float
    ramp: float


class KeyTuner:
    """Finds the best thresholds for a set of frames, added one by one."""

    def __init__(self) -> None:
        self._differences: list[list[Halves]] = [[] for _ in BLURS]
        self._truths: list[npt.NDArray[np.float32]] = []

    def add(self, frame: Frame) -> None:
        """Add a frame with ground truth."""
        assert frame.alpha is not None
        src, bgr = (picture.astype(np.float32) / 255 for picture in (frame.src, frame.bgr))
        for kept, blur in zip(self._differences, BLURS, strict=True):
            one, other = (ndimage.gaussian_filter(x, (blur, blur, 0)) for x in (src, bgr))
            difference = np.abs(one - other).max(2)[::EVERY, ::EVERY]
            kept.append(difference.astype(np.float16))
        self._truths.append(frame.alpha[::EVERY, ::EVERY])

    def best(self) -> TunedKey:
        """Return the key of lowest alpha MAD over the frames added."""
        tried = (
            TunedKey(self._mad(differences, low, ramp), blur, low, ramp)
            for blur, differences in zip(BLURS, self._differences, strict=True)
            for low in LOWS
            for ramp in RAMPS
        )
        return min(tried, key=lambda key: key.mad)

    def _mad(self, differences: Sequence[Halves], low: float, ramp: float) -> float:
        errors = (
            np.abs(np.clip((d.astype(np.float32) - low) / ramp, 0, 1) - truth).mean()
            for d, truth in zip(differences, self._truths, strict=True)
        )
        return 1000 * float(np.mean(list(errors)))
