"""Figures against limits: what fails, and what would have passed."""

from __future__ import annotations

import math

import pytest

from toolchain.catalog.records import Limit, Limits
from toolchain.metrics.verdict import (
    compare_metrics,
    find_failures,
    find_passing_limits,
    get_metric_bases,
    ratio_to_bound,
    select_run_limits,
    select_truth_limits,
)


def limits(**bounds: Limit) -> Limits:
    return Limits(bounds, "test")


def test_a_limit_that_is_kept_exactly_passes_and_the_next_float_fails() -> None:
    """At most means at most."""
    some = limits(pha_max_abs=Limit(0.5))
    assert find_failures(some, {"pha_max_abs": 0.5}, {}) == ()
    (failure,) = find_failures(some, {"pha_max_abs": math.nextafter(0.5, 1)}, {})
    assert failure.figure == "pha_max_abs"


def test_the_larger_of_absolute_and_relative_counts() -> None:
    """A relative limit is a multiple of the base; the absolute one is its floor."""
    some = limits(pha_max_error=Limit(2e-6, 8))
    assert find_failures(some, {"pha_max_error": 2e-6}, {"pha_max_error": 1e-9}) == ()
    assert find_failures(some, {"pha_max_error": 8e-4}, {"pha_max_error": 1e-4}) == ()
    assert len(find_failures(some, {"pha_max_error": 9e-4}, {"pha_max_error": 1e-4})) == 1
    assert len(find_failures(some, {"pha_max_error": 3e-6}, {})) == 1


@pytest.mark.parametrize("found", [math.nan, None])
def test_what_was_not_measured_is_a_failure(found: float | None) -> None:
    """A limit passes by being kept, not by being unmeasured."""
    assert (
        len(find_failures(limits(alpha_mad_worse=Limit(0.1)), {"alpha_mad_worse": found}, {})) == 1
    )


def test_figures_without_a_limit_pass_and_a_negative_increase_is_better() -> None:
    """Only limits that are set are judged; an improvement is no fault, a change is."""
    found = {"alpha_mad_worse": -5.0, "alpha_mad_change": 5.0, "pha_max_abs": 9.0}
    assert find_failures(limits(alpha_mad_worse=Limit(0.03)), found, {}) == ()
    assert len(find_failures(limits(alpha_mad_change=Limit(0.03)), found, {})) == 1


def test_metric_figures_are_differences_and_their_base_is_the_original() -> None:
    """Increase has a sign, change has none."""
    before = {"alpha_mad": 2.0, "alpha_grad": 4.0}
    figures = compare_metrics(before, {"alpha_mad": 1.5, "alpha_grad": 5.0})
    assert figures == {
        "alpha_mad_worse": -0.5,
        "alpha_mad_change": 0.5,
        "alpha_grad_worse": 1.0,
        "alpha_grad_change": 1.0,
    }
    assert get_metric_bases(before)["alpha_grad_worse"] == 4.0


def test_limits_that_need_a_ground_truth_are_selected() -> None:
    """Each limit is in one of the two halves, the reason in both; those on layers in neither."""
    some = limits(pha_max_abs=Limit(1), alpha_mad_worse=Limit(2), layers_max_rel=Limit(3))
    assert select_truth_limits(some) == limits(alpha_mad_worse=Limit(2))
    assert select_run_limits(some, truth=False) == limits(pha_max_abs=Limit(1))
    assert set(select_run_limits(some, truth=True).by_figure) == {"pha_max_abs", "alpha_mad_worse"}


def test_what_would_have_passed_is_what_was_measured() -> None:
    """Nothing would do where there is no number."""
    some = limits(pha_max_abs=Limit(1), fgr_max_abs=Limit(1))
    found = {"pha_max_abs": 0.25, "fgr_max_abs": math.nan}
    assert find_passing_limits(some, found) == {"pha_max_abs": 0.25, "fgr_max_abs": None}


@pytest.mark.parametrize(
    ("found", "bound", "multiple"),
    [
        (1.0, 2.0, 0.5),
        (-1.0, 2.0, 0.0),
        (0.0, 0.0, 0.0),
        (1.0, 0.0, math.inf),
        (None, 1.0, math.inf),
    ],
)
def test_multiples_of_a_bound(found: float | None, bound: float, multiple: float) -> None:
    """Better than the original uses nothing of a limit; no number is beyond every one."""
    assert ratio_to_bound(found, bound) == multiple
