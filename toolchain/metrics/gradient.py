"""Gradient of a matte by first-order Gaussian derivatives, computed only where the matte changes.

|grad| = sqrt(gx^2 + gy^2).  The 9 x 9 kernel is K[i, j] = g(i) g'(j) over its Frobenius norm, g the
Gaussian density with sigma 1.4, g'(x) = -x g(x) / sigma^2; the filter along y is K transposed.
Beyond the border the matte is reflected, the edge pixel repeated.  Most of a matte is plain 0 or
plain 1, where the derivative is exactly 0: only tiles that change are filtered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, reduce

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from toolchain.definitions.arrays import Doubles
from toolchain.metrics.values import Values, as_doubles

SIGMA = 1.4
EPSILON = 0.01
HALF = math.ceil(SIGMA * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * SIGMA * EPSILON)))
TILE = 16  # pixels along a side, a multiple of HALF; it has no influence on the result
SIDE = TILE + 2 * HALF  # of the window of a tile's filter
BATCH = 256  # tiles at a time: fits a core's cache


@dataclass(frozen=True)
class Edges:
    """Gradient of a matte, 0 outside of some tiles.

    Attributes:
        changing: Tiles that may have a gradient, rows x columns.
        lengths: Magnitudes in these tiles, n x 16 x 16.
        size: Height and width of the matte.
    """

    changing: npt.NDArray[np.bool_]
    lengths: Doubles
    size: tuple[int, int]


def edges(alpha: Values) -> Edges:
    """Compute the gradient of an H x W matte, tile by tile, in float64."""
    height, width = alpha.shape
    rows, columns = -(-height // TILE), -(-width // TILE)
    below, right = rows * TILE - height, columns * TILE - width
    padded = np.pad(alpha, HALF, mode="symmetric")
    if below or right:  # whole tiles; results outside the matte are dropped
        padded = np.pad(padded, ((0, below), (0, right)), mode="edge")
    changing = _changing(padded)
    windows = sliding_window_view(padded, (SIDE, SIDE))[::TILE, ::TILE]
    down, across = np.nonzero(changing)
    lengths = np.empty((down.size, TILE, TILE))
    for start in range(0, down.size, BATCH):
        batch = slice(start, start + BATCH)
        lengths[batch] = _filtered(as_doubles(windows[down[batch], across[batch]]))
    if below:
        lengths[down == rows - 1, TILE - below :] = 0
    if right:
        lengths[across == columns - 1, :, TILE - right :] = 0
    return Edges(changing, lengths, (height, width))


def gradient(alpha: Values) -> Doubles:
    """Compute the magnitude of the gradient at every pixel of an H x W matte."""
    found = edges(alpha)
    height, width = found.size
    rows, columns = found.changing.shape
    tiles = np.zeros((rows, columns, TILE, TILE))
    tiles[found.changing] = found.lengths
    whole = tiles.transpose(0, 2, 1, 3).reshape(rows * TILE, columns * TILE)
    return np.asarray(whole[:height, :width], np.float64)


def squared_difference(one: Edges, other: Edges) -> float:
    """Sum over all pixels of (|grad one| - |grad other|)^2."""
    either = one.changing | other.changing
    place = np.cumsum(either).reshape(either.shape) - 1
    difference = np.zeros((int(either.sum()), TILE, TILE))
    difference[place[one.changing]] = one.lengths
    difference[place[other.changing]] -= other.lengths
    return float(np.square(difference).sum())


def _changing(padded: Values) -> npt.NDArray[np.bool_]:
    """Select tiles whose filter window is not constant."""
    seen, step = SIDE // HALF, TILE // HALF
    ends = []
    for end in (np.minimum, np.maximum):
        blocks = padded  # of HALF x HALF pixels
        for _ in range(2):
            blocks = reduce(end, (blocks[start::HALF] for start in range(HALF))).T
        for _ in range(2):
            last = blocks.shape[0] - seen + 1
            blocks = reduce(end, (blocks[start : start + last : step] for start in range(seen))).T
        ends.append(blocks)
    return np.asarray(ends[0] != ends[1])


def _filtered(windows: Doubles) -> Doubles:
    """Filter windows, n x 24 x 24 -> n x 16 x 16."""
    density, derivative = _bands()
    x = (density @ windows) @ derivative.T
    y = (derivative @ windows) @ density.T
    return np.asarray(np.sqrt(np.square(x) + np.square(y)))


@cache
def _bands() -> tuple[Doubles, Doubles]:
    """Gaussian density and derivative over their norms, as 16 x 24 matrices that convolve."""
    x = np.arange(-HALF, HALF + 1, dtype=np.float64)
    density = np.exp(-(x**2) / (2 * SIGMA**2)) / (SIGMA * math.sqrt(2 * math.pi))
    derivative = -x * density / SIGMA**2
    bands = []
    for taps in (density, derivative):
        band = np.zeros((TILE, SIDE))
        for row in range(TILE):
            band[row, row : row + taps.size] = taps / np.linalg.norm(taps)
        bands.append(band)
    return bands[0], bands[1]
