"""One variant against float64 and the original: figures, bases, grade and failures."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from toolchain.catalog.records import Limit, Limits
from toolchain.definitions.metrics import FIGURES, PUBLISHED_METRICS
from toolchain.definitions.variants import Variant
from toolchain.errors import ValidationError
from toolchain.metrics.comparison import (
    Comparison,
    ComparisonResult,
    Reference,
    Scores,
    compute_grade,
)
from toolchain.metrics.score import Matte
from toolchain.runtimes.base import Inference

OWN = {"pha": (1e-6, 1e-7), "fgr": (2e-6, 2e-7), "hid_sm": (1e-5, 1e-6), "res_sm": (1e-7, 1e-8)}


def inference(shift: float = 0.0, **inner: np.ndarray) -> Inference:
    """A soft edge of 16x16 pixels, `shift` higher than it should be."""
    pha = np.tile(np.linspace(0.1, 0.8, 16), (16, 1)) + shift
    fgr = np.full((16, 16, 3), 0.5 + shift)
    return Inference(pha, fgr, np.zeros((4, 4), np.bool_), inner=inner)


def compared(
    found: Inference,
    limits: Limits | None,
    reference: Inference | None = None,
    *,
    truth: bool = True,
) -> ComparisonResult:
    exact = reference or inference()
    matte = Matte(exact.pha, exact.fgr)
    known = Matte(np.zeros((16, 16)), np.full((16, 16, 3), 0.25)) if truth else None
    comparison, scores = Comparison(Variant("FP32"), limits), Scores()
    scores.add(matte, known)
    comparison.add(found, Reference(exact, exact, matte, known))
    return comparison.result(scores, OWN)


def limits(**bounds: Limit) -> Limits:
    return Limits(bounds, "test")


def test_every_figure_of_a_run_is_measured() -> None:
    """A figure that can be limited has a value, and a base if it may be limited by one."""
    hidden = np.ones((1, 1, 4, 4))
    measured = compared(inference(hid_sm=hidden), limits(), inference(hid_sm=hidden))
    runs = [figure for figure in FIGURES if not figure.of_layers]
    assert set(measured.figures) == {figure.key for figure in runs}
    assert set(measured.bases) == {figure.key for figure in runs if figure.base}
    assert set(measured.details["metrics"]) == {metric.key for metric in PUBLISHED_METRICS}


def test_errors_are_limited_by_multiples_of_the_original_s_own() -> None:
    """8 times the own error of 1e-6 passes; more fails, with figure, value and limit."""
    some = limits(pha_max_error=Limit(2e-6, 8))
    assert compared(inference(7.9e-6), some).failures == ()
    (failure,) = compared(inference(8.1e-6), some).failures
    assert failure == "pha_max_error is 8.1e-06, the limit is 8e-06"


def test_metrics_are_limited_both_ways_or_only_upwards() -> None:
    """MAD falls by 100: an improvement, and a change."""
    better = replace(inference(), pha=inference().pha - 0.1)
    assert compared(better, limits(alpha_mad_worse=Limit(0.03, 0.01))).failures == ()
    (failure,) = compared(better, limits(alpha_mad_change=Limit(0.03, 0.01))).failures
    assert failure == "alpha_mad_change is 100, the limit is 4.5"


def test_without_a_ground_truth_no_metric_is_judged() -> None:
    """The other limits are."""
    some = limits(alpha_mad_change=Limit(0.0), pha_max_abs=Limit(0.0))
    measured = compared(inference(0.1), some, truth=False)
    assert [text.split()[0] for text in measured.failures] == ["pha_max_abs"]
    assert measured.details["metrics"] is None


def test_the_inner_tensor_furthest_beyond_its_bound_is_judged() -> None:
    """Not the one with the largest error: each is measured by the original's own error in it."""
    one = np.ones((1, 1, 4, 4))
    reference = inference(hid_sm=one, res_sm=one)
    found = inference(hid_sm=one + 7e-5, res_sm=one + 6e-6)
    measured = compared(found, limits(inner_max_error=Limit(2e-6, 8)), reference)
    assert measured.figures["inner_max_error"] == pytest.approx(6e-6)
    assert measured.bases["inner_max_error"] == 1e-7
    assert measured.failures == ("inner_max_error is 6e-06, the limit is 2e-06",)


def test_values_that_are_not_finite_are_faults() -> None:
    """Also if the value is in a patch that was chosen differently."""
    found = replace(inference(), ref=np.ones((4, 4), np.bool_))
    found.pha[0, 0] = math.nan
    measured = compared(found, limits())
    assert measured.faults == ("pha has NaN or infinite values",)
    assert measured.failures == measured.faults


def test_no_limits_are_a_fault() -> None:
    """A form that model.yml does not list is not unlimited."""
    assert compared(inference(), None).faults == ("model.yml has no limits for FP32 at f32",)


def test_an_output_of_another_shape_is_an_error() -> None:
    """It names form, output and both shapes."""
    found = replace(inference(), pha=np.zeros((8, 8)))
    with pytest.raises(ValidationError, match=r"FP32: pha has shape \(8, 8\), expected \(16, 16\)"):
        compared(found, limits())


@pytest.mark.parametrize(
    ("pha", "fgr", "grade"),
    [
        (0.0, 0.0, "A"),
        (1 / 1020, 0.0, "A"),
        (0.0, math.nextafter(1 / 1020, 1), "B"),
        (1 / 255, 1 / 1020, "B"),
        (math.nextafter(1 / 255, 1), 0.0, "C"),
        (math.inf, 0.0, "C"),
        (math.nan, 0.0, "C"),
        (0.0, math.nan, "C"),
    ],
)
def test_grades_are_by_the_worse_output(pha: float, fgr: float, grade: str) -> None:
    """A up to a quarter of an 8-bit step, B up to one step, C beyond or without a number."""
    assert compute_grade({"pha_mean_abs": pha, "fgr_mean_abs": fgr}) == grade


def test_what_is_recorded_lists_limits_with_what_would_have_passed() -> None:
    """Reason, bound of each limited figure, and the measured value."""
    some = limits(pha_max_error=Limit(2e-6, 8), fgr_max_abs=Limit(1.0))
    details: dict[str, Any] = compared(inference(0.5), some).details
    assert details["limits"]["reason"] == "test"
    assert details["limits"]["bounds"] == {"pha_max_error": 8e-6, "fgr_max_abs": 1.0}
    assert details["limits"]["would_pass"] == pytest.approx(
        {"pha_max_error": 0.5, "fgr_max_abs": 0.5}
    )
    assert details["patches"]["compared"] == 16
