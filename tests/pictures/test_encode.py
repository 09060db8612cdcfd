"""Images as `data:` URLs: values are kept exactly, maxima survive the reduction."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.support.browser import decoded
from toolchain.pictures.encode import block_max, cutout, grey, photo, reduction, to_bytes
from toolchain.pictures.heat import heat

unit = st.floats(0, 1, width=32)
mattes = arrays.arrays(np.float32, arrays.array_shapes(min_dims=2, max_dims=2), elements=unit)


@given(mattes)
def test_a_matte_keeps_every_grey(alpha: np.ndarray) -> None:
    """The PNG contains alpha * 255, rounded, in every pixel."""
    assert np.array_equal(decoded(grey(alpha), "L"), np.rint(alpha * 255).astype(np.uint8))


def test_nan_and_infinity_become_black_and_white() -> None:
    """The result does not depend on the cast."""
    values = np.array([[np.nan, np.inf, -np.inf, 2, -1]], np.float32)
    assert to_bytes(values).tolist() == [[0, 255, 0, 255, 0]]


def test_a_cutout_s_alpha_is_lossless_and_its_colour_close() -> None:
    """Colour is compressed with loss, alpha without."""
    random = np.random.default_rng(3)
    alpha = random.random((40, 64), np.float32)
    foreground = np.full((40, 64, 3), (0.2, 0.5, 0.8), np.float32)
    found = decoded(cutout(alpha, foreground), "RGBA")
    assert np.array_equal(found[..., 3], to_bytes(alpha))
    assert np.abs(found[..., :3].astype(int) - (51, 128, 204)).mean() < 3


def test_encoding_is_deterministic() -> None:
    """Equal pixels give equal bytes."""
    random = np.random.default_rng(5)
    rgb = random.integers(0, 255, (48, 80, 3), np.uint8)
    assert photo(rgb) == photo(rgb.copy())
    assert heat(rgb[..., 0] / np.float32(255)) == heat(rgb[..., 0] / np.float32(255))


@given(st.integers(1, 9000), st.integers(1, 2000))
def test_a_wide_image_is_reduced_by_the_smallest_factor(width: int, widest: int) -> None:
    """The factor is the smallest integer with which the image fits."""
    factor = reduction(width, widest)
    assert -(-width // factor) <= widest
    assert factor == 1 or -(-width // (factor - 1)) > widest


@given(mattes, st.integers(1, 4))
def test_the_maximum_survives_the_reduction(values: np.ndarray, factor: int) -> None:
    """The reduced map has the same maximum."""
    reduced = block_max(values, factor)
    assert reduced.max() == values.max()
    assert reduced.shape == tuple(-(-side // factor) for side in values.shape)
