"""The published metrics of a matte and its foreground against the truth.

As Open Model Zoo's accuracy checker computes them for background matting.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]
SIGMA = 1.4
EPSILON = 0.01
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
    """`alpha`: H x W, 0..1; `foreground`: H x W x 3, RGB 0..1.  Its gradient is computed once."""

    alpha: Floats
    foreground: Floats

    @cached_property
    def gradient(self) -> Doubles:
        """See `gradient`."""
        return gradient(np.asarray(self.alpha, np.float64))


def score(
    alpha: Floats, foreground: Floats, true_alpha: Floats, true_foreground: Floats
) -> MattingScore:
    """`compare` for a single use."""
    return compare(Matte(alpha, foreground), Matte(true_alpha, true_foreground))


def compare(predicted: Matte, truth: Matte) -> MattingScore:
    """Score a prediction against the truth, both of the truth's size.  Computed in float64."""
    error = np.asarray(predicted.alpha, np.float64) - truth.alpha
    seen = np.asarray(truth.alpha) > SEEN
    colour = np.asarray(predicted.foreground, np.float64)[seen] - truth.foreground[seen]
    return MattingScore(
        alpha_mad=1000 * float(np.abs(error).mean()),
        alpha_mse=1000 * float(np.square(error).mean()),
        alpha_grad=float(np.square(truth.gradient - predicted.gradient).sum()) / 1000,
        foreground_mse=1000 * float(np.square(colour).mean()) if seen.any() else 0.0,
    )


def gradient(alpha: Doubles) -> Doubles:
    """Length of the first-order Gaussian derivative of an H x W matte, sigma 1.4, 9 x 9 taps.

    Beyond the border the matte is reflected, the edge pixel repeated.
    """
    along, across = _taps()
    # The 9 x 9 kernel g(i) g'(j) / norm is a product of two vectors: two short passes suffice.
    x = ndimage.convolve1d(ndimage.convolve1d(alpha, along, 0), across, 1)
    y = ndimage.convolve1d(ndimage.convolve1d(alpha, along, 1), across, 0)
    return np.asarray(np.hypot(x, y), np.float64)


@cache
def _taps() -> tuple[Doubles, Doubles]:
    """Gaussian density and derivative, each over its norm: their product has Frobenius norm 1."""
    half = math.ceil(SIGMA * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * SIGMA * EPSILON)))
    x = np.arange(-half, half + 1, dtype=np.float64)
    density = np.exp(-(x**2) / (2 * SIGMA**2)) / (SIGMA * math.sqrt(2 * math.pi))
    derivative = -x * density / SIGMA**2
    return density / np.linalg.norm(density), derivative / np.linalg.norm(derivative)
