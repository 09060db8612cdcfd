"""The published metrics of a matte and its foreground against the truth.

As Open Model Zoo's accuracy checker computes them for background matting.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from toolchain.measures.gradient import Edges, edges, squared_difference

Floats = npt.NDArray[np.floating]
Values = npt.NDArray[Any]  # of floats 0..1, or of uint8 0..255
Doubles = npt.NDArray[np.float64]
SEEN = 0.01  # foreground counts where the true alpha is above


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
    def exact(self) -> Doubles:
        """Alpha as float64, 0..1."""
        return as_doubles(self.alpha)

    @cached_property
    def edges(self) -> Edges:
        """Where alpha changes, and how steeply."""
        return edges(self.exact)


def score(
    alpha: Floats, foreground: Floats, true_alpha: Floats, true_foreground: Floats
) -> MattingScore:
    """`compare` for a single use."""
    return compare(Matte(alpha, foreground), Matte(true_alpha, true_foreground))


def compare(predicted: Matte, truth: Matte) -> MattingScore:
    """Score a prediction against the truth, both of the truth's size.  Computed in float64."""
    error = predicted.exact - truth.exact
    return MattingScore(
        alpha_mad=1000 * float(np.abs(error).mean()),
        alpha_mse=1000 * float(np.square(error).mean()),
        alpha_grad=squared_difference(truth.edges, predicted.edges) / 1000,
        foreground_mse=1000 * _colour_error(predicted, truth),
    )


def as_doubles(values: Values) -> Doubles:
    """Floats 0..1 or uint8 0..255 -> float64, 0..1."""
    if values.dtype == np.uint8:
        return np.asarray(values / np.float64(255), np.float64)
    return np.asarray(values, np.float64)


def _colour_error(predicted: Matte, truth: Matte) -> float:
    """Mean square over all channels where the true alpha is over SEEN; 0 where that is nowhere."""
    seen = np.flatnonzero(truth.exact > SEEN)
    if not seen.size:
        return 0.0
    total = 0.0
    for channel in range(3):  # planes lie one after the other in what a network gives
        found, true = (
            as_doubles(np.take(matte.foreground[..., channel].reshape(-1), seen))
            for matte in (predicted, truth)
        )
        total += float(np.square(found - true).sum())
    return total / (3 * seen.size)
