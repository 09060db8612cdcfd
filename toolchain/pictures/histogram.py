"""Histogram of differences on a logarithmic scale, summed up frame by frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolchain.definitions.arrays import Floats, Mask

LOWEST_POWER, BINS_A_DECADE = -8, 4  # float32 values near 1 cannot differ by less than 1e-8
DECADES = -LOWEST_POWER
BINS = DECADES * BINS_A_DECADE + 1  # the first: all smaller values, 0 included


@dataclass(frozen=True)
class Histogram:
    """`shares`: of all values, one a bin, from the smallest differences to 1; they sum to 1."""

    shares: tuple[float, ...]
    values: int


class Counts:
    """Sums over frames."""

    def __init__(self) -> None:
        self._counts = np.zeros(BINS, np.int64)

    def add(self, difference: Floats, where: Mask | None = None) -> None:
        """Count absolute differences, H x W or H x W x C, at the pixels of `where` if given.

        NaN counts as the largest difference.
        """
        values = difference if where is None else difference[where]
        with np.errstate(divide="ignore"):
            power = np.log10(np.abs(np.nan_to_num(values, nan=1.0, posinf=1.0, neginf=1.0)))
        place = np.floor((power - LOWEST_POWER) * BINS_A_DECADE) + 1
        index = np.clip(place, 0, BINS - 1).astype(np.int64)
        self._counts += np.bincount(index.ravel(), minlength=BINS)

    def total(self) -> Histogram:
        """The shares; all 0 where nothing was counted."""
        count = int(self._counts.sum())
        return Histogram(tuple(float(item) / max(count, 1) for item in self._counts), count)
