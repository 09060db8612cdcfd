"""Confidence intervals of a mean: percentile bootstrap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from toolchain.definitions.arrays import Doubles

REPLICATES = 2_000
CONFIDENCE = 0.95
CLIPS_ENOUGH = 8  # with fewer, resampling them is not informative


@dataclass(frozen=True)
class Interval:
    """Lower and upper bound for each column."""

    low: Doubles
    high: Doubles


def compute_interval(values: Doubles, clips: npt.NDArray[np.intp], seed: int) -> Interval:
    """Compute bounds on the mean over rows of `values` (frames x metrics).

    `clips`: the number of each row's clip, from 0.  `choose_unit` chooses what is resampled; a
    replicate's mean is that over all frames drawn.  The same for the same values and seed.
    """
    sums, frames = values, np.ones(len(values))
    if choose_unit(clips) == "clip":
        frames = np.bincount(clips).astype(np.float64)
        columns = [np.bincount(clips, weights=column) for column in values.T]
        sums = np.stack(columns, axis=1)
    random = np.random.default_rng((seed, len(frames)))
    means = np.empty((REPLICATES, values.shape[1]))
    for row in means:
        drawn = np.bincount(random.integers(0, len(frames), len(frames)), minlength=len(frames))
        row[:] = drawn @ sums / (drawn @ frames)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, (tail, 1 - tail), axis=0)
    return Interval(low, high)


def choose_unit(clips: npt.NDArray[np.intp]) -> str:
    """Return what to resample: clips where there are enough of them, else frames."""
    count = len(np.unique(clips))
    return "clip" if CLIPS_ENOUGH <= count < len(clips) else "frame"


def describe_interval(unit: str, seed: int) -> str:
    """Describe the bounds for readers."""
    text = (
        f"low, high: {CONFIDENCE:.0%} percentile bootstrap of the mean, {REPLICATES} replicates "
        f"that draw {unit}s with replacement, seed {seed}"
    )
    if unit == "frame":
        text += "; frames of one clip resemble each other: few clips make the true interval wider"
    return text
