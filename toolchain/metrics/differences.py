"""Differences between the outputs of two runtimes, summed up frame by frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from toolchain.definitions.arrays import AnyFloats, Mask
from toolchain.definitions.ports import CELL

STEP = 1 / 255  # of an 8-bit image


@dataclass(frozen=True)
class Difference:
    """Absolute differences of one output, on values 0..1.

    Attributes:
        max_abs: Largest difference.
        mean_abs: Mean difference.
        psnr: Decibels against a peak of 1, None where nothing differs.
        over: Share of values above `limit`.
        values: Number of values compared.
        finite: Whether no value is NaN or infinite.
    """

    max_abs: float
    mean_abs: float
    rmse: float
    psnr: float | None
    over: float
    limit: float
    values: int
    finite: bool


@dataclass(frozen=True)
class FrameSums:
    """Sums and counts of one frame; they can be added up in any grouping."""

    largest: float = 0.0
    absolute: float = 0.0
    squares: float = 0.0
    over: int = 0
    count: int = 0
    finite: bool = True

    def __add__(self, other: FrameSums) -> FrameSums:
        return FrameSums(
            max(self.largest, other.largest),
            self.absolute + other.absolute,
            self.squares + other.squares,
            self.over + other.over,
            self.count + other.count,
            self.finite and other.finite,
        )


class Differences:
    """Sums over frames of absolute differences.

    `limit`: values above it are counted, by default one step of an 8-bit image.
    """

    def __init__(self, limit: float = STEP) -> None:
        self._limit = limit
        self._sums = FrameSums()

    def add(self, original: AnyFloats, other: AnyFloats, where: Mask | None = None) -> FrameSums:
        """Compare two arrays of one shape, at the pixels of `where` (H x W) if given.

        Returns what this frame added, for `include` in other sums of the same limit.
        """
        finite = bool(np.isfinite(other).all())
        error = np.subtract(other, original, dtype=np.float64)
        if where is not None:
            error = error[where]
        if error.size == 0:
            return self.include(FrameSums(finite=finite))
        np.abs(error, out=error)
        largest = float(error.max())
        if not math.isfinite(largest):
            error = np.nan_to_num(error, nan=math.inf, posinf=math.inf)
            largest = float(error.max())
        return self.include(
            FrameSums(
                largest=largest,
                absolute=float(error.sum()),
                over=int(np.count_nonzero(error > self._limit)),
                squares=float(np.square(error, out=error).sum()),
                count=error.size,
                finite=finite,
            )
        )

    def include(self, sums: FrameSums) -> FrameSums:
        """Add the sums of a frame."""
        self._sums += sums
        return sums

    def total(self) -> Difference:
        """Return the sums as a record; infinite figures become the largest float, for JSON."""
        sums = self._sums
        count = max(sums.count, 1)
        mean_square = sums.squares / count
        largest = float(np.finfo(np.float64).max)
        return Difference(
            max_abs=min(sums.largest, largest),
            mean_abs=min(sums.absolute / count, largest),
            rmse=min(math.sqrt(mean_square), largest),
            psnr=-10 * math.log10(mean_square) if 0 < mean_square < math.inf else None,
            over=sums.over / count,
            limit=self._limit,
            values=sums.count,
            finite=sums.finite,
        )


def mask_outside(different: Mask) -> Mask:
    """Quarter-size map of differently chosen patches -> full-size mask of all other pixels."""
    return ~different.repeat(CELL, axis=0).repeat(CELL, axis=1)
