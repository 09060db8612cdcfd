"""The metrics of `definitions.metrics` of a matte and its foreground against the ground truth.

The published ones as Open Model Zoo's accuracy checker computes them for background matting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from toolchain.definitions.metrics import METRICS, PUBLISHED_METRICS
from toolchain.metrics.connectivity import connectivity_error
from toolchain.metrics.gradient import Edges, edges, squared_difference
from toolchain.metrics.values import Values, as_doubles

ALPHA_THRESHOLD = 0.01  # the foreground counts where the true alpha is above
ROWS = 48  # rows at a time: fits a core's cache


@dataclass(frozen=True)
class Matte:
    """Alpha and foreground of one frame; derived arrays are computed once.

    Attributes:
        alpha: H x W, float 0..1 or uint8 0..255.
        foreground: H x W x 3, RGB, float 0..1 or uint8 0..255.
    """

    alpha: Values
    foreground: Values

    @cached_property
    def edges(self) -> Edges:
        """Magnitude of alpha's gradient."""
        return edges(self.alpha)

    @property
    def is_finite(self) -> bool:
        """Whether no value is NaN or infinite."""
        # The sum is finite if all values are, and cheaper than a check of each value.
        return all(np.isfinite(values.sum()) for values in (self.alpha, self.foreground))


@dataclass(frozen=True)
class MattePair:
    """A prediction and its ground truth, of one size.  Computed in float64.

    Attributes:
        predicted: The prediction.
        truth: The ground truth.
    """

    predicted: Matte
    truth: Matte

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.truth.alpha.size

    @cached_property
    def alpha_sums(self) -> tuple[float, float]:
        """Sum of |p - A| and sum of (p - A)^2 over all pixels."""
        absolute = squares = 0.0
        for start in range(0, self.truth.alpha.shape[0], ROWS):
            rows = slice(start, start + ROWS)
            error = as_doubles(self.predicted.alpha[rows]) - as_doubles(self.truth.alpha[rows])
            absolute += float(np.abs(error).sum())
            squares += float(np.square(error).sum())
        return absolute, squares

    @property
    def foreground_error(self) -> float:
        """Mean of (f - F)^2 over all channels where A > 0.01; 0 where no pixel is."""
        truth = self.truth.alpha
        limit = 255 * ALPHA_THRESHOLD if truth.dtype == np.uint8 else ALPHA_THRESHOLD
        chosen = np.flatnonzero(truth > limit)
        if not chosen.size:
            return 0.0
        total = 0.0
        for channel in range(3):  # the channels are planes in what a network returns
            found, true = (
                as_doubles(np.take(matte.foreground[..., channel].reshape(-1), chosen))
                for matte in (self.predicted, self.truth)
            )
            found = found - true
            total += float(np.square(found, out=found).sum())
        return total / (3 * chosen.size)


FUNCTIONS: Mapping[str, Callable[[MattePair], float]] = {
    "alpha_mad": lambda pair: 1000 * pair.alpha_sums[0] / pair.pixels,
    "alpha_mse": lambda pair: 1000 * pair.alpha_sums[1] / pair.pixels,
    "alpha_grad": lambda pair: squared_difference(pair.truth.edges, pair.predicted.edges) / 1000,
    "foreground_mse": lambda pair: 1000 * pair.foreground_error,
    "alpha_sad": lambda pair: pair.alpha_sums[0] / 1000,
    "alpha_conn": lambda pair: connectivity_error(pair.predicted.alpha, pair.truth.alpha) / 1000,
}


def published_scores(predicted: Matte, truth: Matte) -> dict[str, float]:
    """Compute the published metrics of one frame, by key; the mattes have the same size."""
    pair = MattePair(predicted, truth)
    return {metric.key: FUNCTIONS[metric.key](pair) for metric in PUBLISHED_METRICS}


def all_scores(predicted: Matte, truth: Matte) -> tuple[float, ...]:
    """Compute every metric of one frame, in the order of `definitions.metrics.METRICS`."""
    pair = MattePair(predicted, truth)
    return tuple(FUNCTIONS[metric.key](pair) for metric in METRICS)


def mean_scores(rows: list[dict[str, float]]) -> dict[str, float] | None:
    """Mean of each metric over frames, None without frames."""
    if not rows:
        return None
    return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}
