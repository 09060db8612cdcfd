"""The published metrics of a matte and its foreground against the truth.

As Open Model Zoo's accuracy checker computes them for background matting.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from toolchain.definitions.arrays import AnyFloats
from toolchain.metrics.gradient import Edges, edges, squared_difference
from toolchain.metrics.values import Values, as_doubles

SEEN = 0.01  # foreground counts where the true alpha is above
ROWS = 48  # at a time: what a core's cache holds


@dataclass(frozen=True)
class MattingScore:
    """One frame's errors; lower is better, over the whole frame.

    `alpha_mad`: 1000 mean |p - A|.  `alpha_mse`: 1000 mean (p - A)^2.  `alpha_grad`: sum of
    (|grad A| - |grad p|)^2, / 1000; it grows with the frame's area.  `foreground_mse`: 1000 mean
    (f - F)^2 over all channels where A > 0.01; 0 where that is nowhere.
    """

    alpha_mad: float
    alpha_mse: float
    alpha_grad: float
    foreground_mse: float


@dataclass(frozen=True)
class Matte:
    """`alpha`: H x W; `foreground`: H x W x 3, RGB.  What is derived from it is computed once.

    Both are floats 0..1, or uint8 0..255 as files hold them.
    """

    alpha: Values
    foreground: Values

    @cached_property
    def edges(self) -> Edges:
        """Where alpha changes, and how steeply."""
        return edges(self.alpha)


def score(
    alpha: AnyFloats, foreground: AnyFloats, true_alpha: AnyFloats, true_foreground: AnyFloats
) -> MattingScore:
    """`compare` for a single use."""
    return compare(Matte(alpha, foreground), Matte(true_alpha, true_foreground))


def compare(predicted: Matte, truth: Matte) -> MattingScore:
    """Score a prediction against the truth, both of the truth's size.  Computed in float64."""
    absolute = squares = 0.0
    for start in range(0, truth.alpha.shape[0], ROWS):
        rows = slice(start, start + ROWS)
        error = as_doubles(predicted.alpha[rows]) - as_doubles(truth.alpha[rows])
        absolute += float(np.abs(error).sum())
        squares += float(np.square(error).sum())
    return MattingScore(
        alpha_mad=1000 * absolute / truth.alpha.size,
        alpha_mse=1000 * squares / truth.alpha.size,
        alpha_grad=squared_difference(truth.edges, predicted.edges) / 1000,
        foreground_mse=1000 * _colour_error(predicted, truth),
    )


def _colour_error(predicted: Matte, truth: Matte) -> float:
    """Mean square over all channels where the true alpha is over SEEN; 0 where that is nowhere."""
    limit = 255 * SEEN if truth.alpha.dtype == np.uint8 else SEEN
    seen = np.flatnonzero(truth.alpha > limit)
    if not seen.size:
        return 0.0
    total = 0.0
    for channel in range(3):  # planes lie one after the other in what a network gives
        found, true = (
            as_doubles(np.take(matte.foreground[..., channel].reshape(-1), seen))
            for matte in (predicted, truth)
        )
        found = found - true
        total += float(np.square(found, out=found).sum())
    return total / (3 * seen.size)
