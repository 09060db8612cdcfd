"""Differences between two runtimes, and the verdict on them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from toolchain.catalog.records import Limits
from toolchain.metrics.differences import Differences, outside
from toolchain.metrics.verdict import judge, on_truth, without_truth, worse

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
def test_one_value_that_is_not_finite_is_told_and_is_over_any_limit(value: float) -> None:
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
    where = outside(different)
    assert where.shape == (8, 12)
    assert (~where).sum() == 16
    assert not where[4:, 8:].any()
    one = np.zeros((8, 12), np.float32)
    other = one.copy()
    other[5, 9] = 1
    sums = Differences(0.1)
    sums.add(one, other, where)
    assert sums.total().max_abs == 0


def test_a_limit_that_is_kept_exactly_passes_and_the_next_float_fails() -> None:
    """At most means at most."""
    limits = Limits(pha_max_abs=0.5)
    assert judge(limits, {"pha_max_abs": 0.5}) == ()
    (failure,) = judge(limits, {"pha_max_abs": math.nextafter(0.5, 1)})
    assert failure.figure == "pha_max_abs"


@pytest.mark.parametrize("found", [math.nan, None])
def test_what_was_not_measured_is_a_failure(found: float | None) -> None:
    """A limit passes by being kept, not by being unmeasured."""
    assert len(judge(Limits(alpha_mad_worse=0.1), {"alpha_mad_worse": found})) == 1


def test_figures_without_a_limit_pass_and_a_negative_worse_is_better() -> None:
    """Only limits that are set are judged; an improvement is no fault."""
    assert judge(Limits(alpha_mad_worse=0.03), {"alpha_mad_worse": -5.0, "pha_max_abs": 9}) == ()


def test_worse_is_the_difference_and_a_share_for_grad() -> None:
    """From nothing to something is infinitely worse; from nothing to nothing is not worse."""
    before = {"alpha_mad": 2.0, "alpha_mse": 1.0, "alpha_grad": 4.0, "foreground_mse": 1.0}
    figures = worse(before, before | {"alpha_mad": 2.5, "alpha_grad": 5.0})
    assert figures["alpha_mad_worse"] == 0.5
    assert figures["foreground_mse_worse"] == 0
    assert figures["alpha_grad_worse_share"] == 0.25
    none = before | {"alpha_grad": 0.0}
    assert worse(none, before)["alpha_grad_worse_share"] == math.inf
    assert worse(none, none)["alpha_grad_worse_share"] == 0


def test_limits_on_truth_and_the_others_are_told_apart() -> None:
    """Each limit is in one of the two halves, and the reason in both."""
    limits = Limits(pha_max_abs=1, alpha_mad_worse=2, alpha_grad_worse_share=3, reason="why")
    assert on_truth(limits) == Limits(alpha_mad_worse=2, alpha_grad_worse_share=3, reason="why")
    assert without_truth(limits) == Limits(pha_max_abs=1, reason="why")
