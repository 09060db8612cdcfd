"""Differences between two runtimes, summed up over frames."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from toolchain.metrics.differences import Differences, mask_outside

values = hnp.arrays(np.float32, (8, 12), elements=st.floats(0, 1, width=32))


@given(frames=st.lists(st.tuples(values, values), min_size=1, max_size=4))
def test_sums_over_frames_equal_one_pass_over_all(
    frames: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    """Frame by frame gives what all frames at once give."""
    sums = Differences(0.25)
    for one, other in frames:
        sums.add(one, other)
    total = sums.total()
    error = np.abs(np.array([b.astype(np.float64) - a for a, b in frames]))
    assert total.max_abs == error.max()
    assert total.mean_abs == pytest.approx(error.mean())
    assert total.rmse == pytest.approx(math.sqrt((error**2).mean()))
    assert total.over == pytest.approx((error > 0.25).mean())
    assert total.values == error.size
    if total.psnr is not None:
        assert total.psnr == pytest.approx(-20 * math.log10(total.rmse))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_value_that_is_not_finite_is_over_any_limit(value: float) -> None:
    """NaN never hides in a mean."""
    one = np.zeros((4, 4), np.float32)
    other = one.copy()
    other[2, 2] = value
    sums = Differences(0.1)
    sums.add(one, other)
    total = sums.total()
    assert not total.finite
    assert total.max_abs > 1e300
    assert total.over == 1 / 16


def test_differently_chosen_patches_are_left_out() -> None:
    """A quarter-size mark covers its 4x4 pixels and no others."""
    different = np.zeros((2, 3), bool)
    different[1, 2] = True
    where = mask_outside(different)
    assert where.shape == (8, 12)
    assert (~where).sum() == 16
    assert not where[4:, 8:].any()
    one = np.zeros((8, 12), np.float32)
    other = one.copy()
    other[5, 9] = 1
    sums = Differences(0.1)
    sums.add(one, other, where)
    assert sums.total().max_abs == 0
