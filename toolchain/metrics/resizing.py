"""Linear resizing as in OpenCV: half-pixel centres, no antialiasing, edges repeated."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from toolchain.definitions.arrays import AnyFloats

Indices = npt.NDArray[np.intp]


def resize(values: AnyFloats, size: tuple[int, int]) -> AnyFloats:
    """H x W or H x W x C to `size` (width, height), as `cv2.resize(..., INTER_LINEAR)`.

    The pixel i of n is read at (i + 0.5) * m / n - 0.5 of the m there were.  The type is kept.
    """
    width, height = size
    for axis, length in ((0, height), (1, width)):
        if values.shape[axis] != length:
            values = _along(values, axis, length)
    return values


def _along(values: AnyFloats, axis: int, length: int) -> AnyFloats:
    first, second, weight = _taps(values.shape[axis], length)
    shape = [1] * values.ndim
    shape[axis] = length
    share = weight.reshape(shape).astype(values.dtype)
    near, far = np.take(values, first, axis), np.take(values, second, axis)
    return np.asarray(near + (far - near) * share, values.dtype)


def _taps(before: int, after: int) -> tuple[Indices, Indices, npt.NDArray[np.float64]]:
    """The two neighbours of each new pixel, and the share of the second."""
    at = np.clip((np.arange(after) + 0.5) * (before / after) - 0.5, 0, before - 1)
    first = np.floor(at).astype(np.intp)
    return first, np.minimum(first + 1, before - 1), at - first
