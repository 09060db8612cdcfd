"""Connectivity error of a matte: Rhemann et al., "A Perceptually Motivated Online Benchmark for
Image Matting", CVPR 2009, with the settings that the field uses: steps of 0.1, theta 0.15, p = 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Doubles = npt.NDArray[np.float64]
STEPS = 10
THETA = 0.15


def connectivity_error(predicted: Doubles, truth: Doubles) -> float:
    """Sum over all pixels of |phi(predicted) - phi(truth)|; H x W each, 0..1.

    l of a pixel: the highest of the levels 0, 0.1 ... 1 up to which, level by level, it belongs to
    the largest 4-connected region where both mattes reach that level (of equal ones, the first
    from the top left); phi(v) = 1 - d if d = v - l is at least 0.15, else 1.
    """
    either = np.maximum(predicted, truth) >= 1 / STEPS
    down, across = np.flatnonzero(either.any(1)), np.flatnonzero(either.any(0))
    if not down.size:  # d reaches 0.15 nowhere
        return 0.0
    box = slice(down[0], down[-1] + 1), slice(across[0], across[-1] + 1)
    predicted, truth = predicted[box], truth[box]
    level = _levels(np.minimum(predicted, truth))
    far = [_far(values - level) for values in (predicted, truth)]
    return float(np.abs(far[0] - far[1]).sum())


def _far(distance: Doubles) -> Doubles:
    return np.where(distance >= THETA, distance, 0.0)


def _levels(both: Doubles) -> Doubles:
    """l of every pixel, `both` being the lower of the two mattes."""
    joined = np.ones(both.shape, np.bool_)
    reached = np.zeros(both.shape, np.uint8)
    for step in range(1, STEPS + 1):
        joined &= _largest(both >= step / STEPS)
        if not joined.any():
            break
        reached += joined
    return np.asarray(np.arange(STEPS + 1) / STEPS)[reached]


def _largest(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The largest 4-connected region of `mask`."""
    labels, count = ndimage.label(mask)
    if count <= 1:
        return mask
    sizes = np.bincount(labels[mask])
    return np.asarray(labels == sizes.argmax())
