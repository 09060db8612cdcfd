"""Difference of one inner tensor from the original's, on its own scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from toolchain.definitions.arrays import Array


@dataclass(frozen=True)
class LayerDifference:
    """Absolute differences; `relative`: the largest one, divided by the original's largest value.

    `over`: share of values whose relative difference is above the limit.  `finite`: whether all
    values are finite.  All differences are infinite if shapes differ.
    """

    max_abs: float
    mean_abs: float
    rmse: float
    relative: float
    psnr: float | None
    over: float
    finite: bool


def compare_tensors(original: Array, other: Array, limit: float) -> LayerDifference:
    """Compare two tensors of any numeric type; `limit`: on relative differences, for `over`."""
    if original.shape != other.shape:
        return LayerDifference(math.inf, math.inf, math.inf, math.inf, None, 1.0, finite=True)
    one, two = (array.astype(np.float32, copy=False) for array in (original, other))
    scale = float(np.abs(one).max(initial=0.0)) or 1.0
    finite = bool(np.isfinite(two).all())
    error = np.abs(two - one)
    if not finite:
        error = np.nan_to_num(error, nan=math.inf, posinf=math.inf)
    largest = float(error.max(initial=0.0))
    over = float(np.count_nonzero(error > limit * scale) / max(error.size, 1))
    square = float(np.square(error, dtype=np.float64).mean()) if error.size else 0.0
    return LayerDifference(
        max_abs=largest,
        mean_abs=float(error.mean(dtype=np.float64)) if error.size else 0.0,
        rmse=math.sqrt(square),
        relative=largest / scale,
        psnr=10 * math.log10(scale**2 / square) if 0 < square < math.inf else None,
        over=over,
        finite=finite,
    )


def exceeds_limit(found: LayerDifference, share: float) -> bool:
    """Whether more than `share` of the values are beyond the limit, or any is NaN or infinite.

    `share` is 0, except for tensors that depend on a choice between nearly equal values.
    """
    return not found.finite or found.over > share
