"""The gradient by tiles, against the filters run over the whole matte."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from toolchain.metrics.gradient import TILE, edges, gradient, squared_difference


def everywhere(alpha: np.ndarray) -> np.ndarray:
    """Both 9 x 9 kernels over every pixel."""
    x = np.arange(-4, 5)
    density = np.exp(-(x**2) / (2 * 1.4**2)) / (1.4 * math.sqrt(2 * math.pi))
    kernel = np.outer(density, -x * density / 1.4**2)
    kernel /= np.linalg.norm(kernel)
    across = ndimage.convolve(alpha, kernel, mode="reflect")
    down = ndimage.convolve(alpha, kernel.T, mode="reflect")
    return np.hypot(across, down)


def mostly_plain(seed: int, height: int, width: int) -> np.ndarray:
    """0 and 1 with a few soft blobs, as mattes are; some blobs touch the border."""
    random = np.random.default_rng(seed)
    alpha = np.zeros((height, width))
    for _ in range(random.integers(0, 4)):
        row, column = random.integers(0, height), random.integers(0, width)
        alpha[row : row + random.integers(1, 30), column : column + random.integers(1, 30)] = 1
    return ndimage.gaussian_filter(alpha, random.choice([0.0, 0.8])).round(3)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), height=st.integers(1, 90), width=st.integers(1, 90))
def test_tiles_that_do_not_change_are_rightly_left_out(seed: int, height: int, width: int) -> None:
    """At any size, whether whole tiles fit or not, every pixel has the full filter's gradient."""
    alpha = mostly_plain(seed, height, width)
    assert gradient(alpha) == pytest.approx(everywhere(alpha), abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(
    one=st.integers(0, 10**6),
    other=st.integers(0, 10**6),
    height=st.integers(5, 70),
    width=st.integers(5, 70),
)
def test_differences_by_tiles_are_differences_everywhere(
    one: int, other: int, height: int, width: int
) -> None:
    """Where only one of two mattes changes, and where both do, the sum of squares is the same."""
    first, second = (mostly_plain(seed, height, width) for seed in (one, other))
    found = squared_difference(edges(first), edges(second))
    expected = np.square(everywhere(first) - everywhere(second)).sum()
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_a_plain_matte_has_no_tile_to_filter() -> None:
    """Nothing changes, so nothing is computed and all is exactly zero."""
    for value in (0.0, 0.3, 1.0):
        found = edges(np.full((3 * TILE, 5 * TILE + 3), value))
        assert not found.changing.any()
        assert squared_difference(found, found) == 0.0
