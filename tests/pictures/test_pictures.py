"""Pictures tell what was measured: nothing lost, nothing smoothed away, nothing invented."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.support.browser import decoded
from toolchain.pictures.encode import block_max, cutout, grey, photo, reduction, to_bytes
from toolchain.pictures.heat import gradient, heat, levels, palette, ticks
from toolchain.pictures.histogram import BINS, Counts
from toolchain.pictures.patches import BOTH, MODEL_ONLY, ORIGINAL_ONLY, patch_colours

unit = st.floats(0, 1, width=32)
mattes = arrays.arrays(np.float32, arrays.array_shapes(min_dims=2, max_dims=2), elements=unit)


@given(mattes)
def test_a_matte_keeps_every_grey(alpha: np.ndarray) -> None:
    """What the PNG holds is alpha * 255, rounded, to the last pixel."""
    assert np.array_equal(decoded(grey(alpha), "L"), np.rint(alpha * 255).astype(np.uint8))


def test_what_is_no_number_is_no_accident() -> None:
    """NaN and infinity become black and white, not whatever a cast makes of them."""
    values = np.array([[np.nan, np.inf, -np.inf, 2, -1]], np.float32)
    assert to_bytes(values).tolist() == [[0, 255, 0, 255, 0]]


def test_a_cutout_s_alpha_is_lossless_and_its_colour_close() -> None:
    """WebP may lose colour a little, alpha not at all."""
    random = np.random.default_rng(3)
    alpha = random.random((40, 64), np.float32)
    foreground = np.full((40, 64, 3), (0.2, 0.5, 0.8), np.float32)
    found = decoded(cutout(alpha, foreground), "RGBA")
    assert np.array_equal(found[..., 3], to_bytes(alpha))
    assert np.abs(found[..., :3].astype(int) - (51, 128, 204)).mean() < 3


def test_pictures_are_the_same_bytes_each_time() -> None:
    """Encoding has neither time nor chance in it."""
    random = np.random.default_rng(5)
    rgb = random.integers(0, 255, (48, 80, 3), np.uint8)
    assert photo(rgb) == photo(rgb.copy())
    assert heat(rgb[..., 0] / np.float32(255)) == heat(rgb[..., 0] / np.float32(255))


@given(st.integers(1, 9000), st.integers(1, 2000))
def test_a_wide_picture_is_reduced_just_enough(width: int, widest: int) -> None:
    """By the smallest whole factor that makes it fit."""
    factor = reduction(width, widest)
    assert -(-width // factor) <= widest
    assert factor == 1 or -(-width // (factor - 1)) > widest


@given(mattes, st.integers(1, 4))
def test_no_spike_is_lost_by_reduction(values: np.ndarray, factor: int) -> None:
    """The largest difference is in the reduced map too, and nothing larger."""
    reduced = block_max(values, factor)
    assert reduced.max() == values.max()
    assert reduced.shape == tuple(-(-side // factor) for side in values.shape)


@given(unit, unit)
def test_more_heat_is_never_a_lower_level(one: float, other: float) -> None:
    """Levels rise with the difference, from below the scale to its end."""
    low, high = levels(np.array([sorted((one, other))], np.float32))[0]
    assert low <= high < len(palette()) - 1


def test_the_scale_runs_from_dark_to_light_and_nan_has_a_colour_of_its_own() -> None:
    """Its ends are the ends of the legend, and lightness rises all the way."""
    found = levels(np.array([[0, 9e-6, 1.1e-5, 1, np.nan, np.inf]], np.float32))[0]
    assert found.tolist() == [0, 0, 1, len(palette()) - 2, len(palette()) - 1, len(palette()) - 1]
    light = palette()[:-1] @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(light) > 0).all()
    assert [power for _, power in ticks()] == [-5, -4, -3, -2, -1, 0]
    assert [place for place, _ in ticks()][-1] == gradient()[-1][0] == 1
    shown = decoded(heat(np.array([[0, np.nan]], np.float32)), "RGB")
    assert shown[0].tolist() == [palette()[0].tolist(), palette()[-1].tolist()]


@given(arrays.arrays(np.float32, st.integers(1, 50), elements=unit))
def test_a_histogram_counts_every_value_once(values: np.ndarray) -> None:
    """The shares sum to 1; split over frames they are the same."""
    whole, parts = Counts(), Counts()
    whole.add(values)
    for part in np.array_split(values, 3):
        parts.add(part)
    assert parts.total() == whole.total()
    assert sum(whole.total().shares) == pytest.approx(1)
    assert whole.total().values == values.size


def test_histogram_bins_are_quarters_of_a_decade() -> None:
    """Equality and what is smaller than 1e-8 in the first; 1 and NaN in the last."""
    counts = Counts()
    counts.add(np.array([0, 5e-9, 1.5e-8, 0.4, 0.6, 1, np.nan], np.float32))
    shares = [round(share * 7) for share in counts.total().shares]
    assert (shares[0], shares[1], shares[-2], shares[-1]) == (2, 1, 1, 3)
    assert len(shares) == BINS
    counts = Counts()
    counts.add(np.ones((2, 2), np.float32), np.zeros((2, 2), np.bool_))
    assert set(counts.total().shares) == {0}


def test_patches_are_coloured_by_who_refined_them() -> None:
    """One pixel a patch over the darkened frame."""
    src = np.full((8, 16, 3), 200, np.uint8)
    original = np.array([[1, 1, 0, 0], [0, 0, 0, 0]], np.bool_)
    other = np.array([[1, 0, 1, 0], [0, 0, 0, 0]], np.bool_)
    found = patch_colours(src, original, other)
    assert found[0].tolist() == [list(BOTH), list(ORIGINAL_ONLY), list(MODEL_ONLY), [60, 60, 60]]
    assert (found[1] == 60).all()
