"""Connectivity error of a matte.

Source: Rhemann et al., "A Perceptually Motivated Online Benchmark for Image Matting", CVPR 2009,
with the settings that the field uses: steps of 0.1, theta 0.15, p = 1.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse import csgraph

from toolchain.definitions.arrays import Doubles, Mask
from toolchain.metrics.values import Values, as_doubles

Indices = npt.NDArray[np.intp]
STEPS = 10
LEVELS = np.arange(STEPS + 1) / STEPS
THETA = 0.15
ROWS = 48  # at a time: fits a core's cache


def connectivity_error(predicted: Values, truth: Values) -> float:
    """Sum over all pixels of |phi(predicted) - phi(truth)|, in float64; H x W each.

    l of a pixel: the highest of the levels 0, 0.1 ... 1 up to which, level by level, it belongs to
    the largest 4-connected region where both mattes reach that level (of equal ones, the first
    from the top left); phi(v) = 1 - d if d = v - l is at least 0.15, else 1.
    """
    # A little less: below float64 the first level may be rounded up.
    either = (predicted >= _of(predicted, 0.09)) | (truth >= _of(truth, 0.09))
    down, across = np.flatnonzero(either.any(1)), np.flatnonzero(either.any(0))
    if not down.size:  # d reaches 0.15 nowhere
        return 0.0
    box = slice(down[0], down[-1] + 1), slice(across[0], across[-1] + 1)
    predicted, truth = predicted[box], truth[box]
    reached = _reached(predicted, truth)
    total = 0.0
    for rows in _blocks(truth):
        level = LEVELS[reached[rows]]
        one, other = (_far(as_doubles(values[rows]) - level) for values in (predicted, truth))
        total += float(np.abs(one - other).sum())
    return total


def _of(values: Values, share: float) -> float:
    return 255 * share if values.dtype == np.uint8 else share


def _far(distance: Doubles) -> Doubles:
    return np.where(distance >= THETA, distance, 0.0)


def _blocks(values: Values) -> Iterator[slice]:
    return (slice(start, start + ROWS) for start in range(0, values.shape[0], ROWS))


def _reached(predicted: Values, truth: Values) -> npt.NDArray[np.uint8]:
    """Return the index of l in LEVELS for every pixel."""
    height, width = truth.shape
    steps = np.zeros((height, width + 1), np.uint8)  # a column of 0: no run goes on in the next row
    for rows in _blocks(truth):
        both = np.minimum(as_doubles(predicted[rows]), as_doubles(truth[rows]))
        for level in LEVELS[1:]:
            steps[rows, 1:] += both >= level
    joined = np.ones(steps.shape, np.bool_)
    reached = np.zeros(steps.shape, np.uint8)
    for step in range(1, STEPS + 1):
        joined &= _largest(steps >= step)
        if not joined.any():
            break
        reached += joined
    return reached[:, 1:]


def _largest(mask: Mask) -> Mask:
    """Find the largest 4-connected region of `mask`, whose first column is empty.

    Each row is split into runs; runs that overlap in neighbouring rows are connected. This graph is
    much smaller than the image.
    """
    flat = mask.reshape(-1)
    turns = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if turns.size % 2:
        turns = np.append(turns, flat.size)
    starts, ends = turns[::2], turns[1::2]
    if not starts.size:
        return mask
    first = np.searchsorted(ends, starts - mask.shape[1], side="right")
    touching = np.searchsorted(starts, ends - mask.shape[1], side="left") - first
    pairs = _ranges(first, touching), np.repeat(np.arange(starts.size), touching)
    links = sparse.coo_matrix((np.ones(pairs[0].size, np.int8), pairs), (starts.size,) * 2)
    count, region = csgraph.connected_components(links, directed=False)
    if count > 1:
        sizes = np.bincount(region, weights=ends - starts)
        others = region != sizes.argmax()
        flat[_ranges(starts[others], (ends - starts)[others])] = False
    return mask


def _ranges(starts: Indices, lengths: Indices) -> Indices:
    """starts[0], starts[0] + 1 ... `lengths[0]` of them, then those of starts[1], and so on."""
    before = np.cumsum(lengths) - lengths
    return np.asarray(np.repeat(starts - before, lengths) + np.arange(lengths.sum()))
