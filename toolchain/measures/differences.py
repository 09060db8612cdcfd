"""How far the outputs of two runtimes lie apart, summed up frame by frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
CELL = 4  # pixels along one side of a refined patch


@dataclass(frozen=True)
class Difference:
    """Absolute differences of one output, on values 0..1.

    `psnr`: decibels against a peak of 1, None where nothing differs.  `over`: share of values
    above `limit`.  `values`: how many were compared.  `finite`: whether none was NaN or infinite.
    """

    max_abs: float
    mean_abs: float
    rmse: float
    psnr: float | None
    over: float
    limit: float
    values: int
    finite: bool


class Differences:
    """Sums over frames; `limit` is the bound whose transgressions are counted."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._max = 0.0
        self._sum = 0.0
        self._squares = 0.0
        self._over = 0
        self._count = 0
        self._finite = True

    def add(self, original: Floats, other: Floats, where: Mask | None = None) -> None:
        """Compare two arrays of one shape, at the pixels of `where` (H x W) if given."""
        self._finite &= bool(np.isfinite(other).all())
        error = np.abs(other.astype(np.float64) - original)
        if where is not None:
            error = error[where]
        if error.size == 0:
            return
        error = np.nan_to_num(error, nan=math.inf, posinf=math.inf)
        self._max = max(self._max, float(error.max()))
        self._sum += float(error.sum())
        self._squares += float(np.square(error).sum())
        self._over += int(np.count_nonzero(error > self._limit))
        self._count += error.size

    def total(self) -> Difference:
        """The sums as a record.  Infinite figures stand at the largest float for JSON's sake."""
        count = max(self._count, 1)
        mean_square = self._squares / count
        largest = float(np.finfo(np.float64).max)
        return Difference(
            max_abs=min(self._max, largest),
            mean_abs=min(self._sum / count, largest),
            rmse=min(math.sqrt(mean_square), largest),
            psnr=-10 * math.log10(mean_square) if 0 < mean_square < math.inf else None,
            over=self._over / count,
            limit=self._limit,
            values=self._count,
            finite=self._finite,
        )


def outside(different: Mask) -> Mask:
    """Quarter-size map of differently chosen patches -> full-size mask of all other pixels."""
    return ~different.repeat(CELL, axis=0).repeat(CELL, axis=1)
