"""Tables of runs: labels, shares of limits, the verdict in one sentence."""

from __future__ import annotations

import pytest

from tests.support.records import reported_run as run
from toolchain.report import run_tables
from toolchain.report.text import format_scientific

OWN = {"reference": {"own_error": {"pha": {"max": 1e-6}, "fgr": {"max": 2e-6}}}}


def test_a_run_is_named_by_what_it_did() -> None:
    """Form and hint, and the executed precision where it does not follow from the hint."""
    assert run_tables.format_run_label(run()) == "FP32 \u00b7 f32"
    default = run(form="FP16", hint="default", executed="bf16")
    assert run_tables.format_run_label(default) == "FP16 \u00b7 device default (bf16)"
    assert run_tables.get_variant(default).id == "fp16-default"
    elsewhere = {**default, "device": "GPU.1"}
    assert run_tables.format_run_label(elsewhere) == "FP16 \u00b7 device default (bf16) on GPU.1"
    assert run_tables.get_variant(elsewhere).id == "fp16-default-gpu.1"


@pytest.mark.parametrize(
    ("found", "limit", "text"),
    [
        (0.0, 2e-5, "0%"),
        (5e-6, 2e-5, "25%"),
        (1e-8, 2e-5, "under 1%"),
        (1e-3, 2e-5, "5000%"),
        (0.5, 2e-5, "2.5e+04 times"),
        (1e-9, 0.0, "beyond"),
        (0.0, 0.0, "0%"),
        (None, 2e-5, "\u2013"),
    ],
)
def test_shares_of_limits(found: float | None, limit: float, text: str) -> None:
    """What part of a limit is used; a figure that was not measured has none."""
    one = run(
        figures={"pha_max_abs": found}, limits={"bounds": {"pha_max_abs": limit}, "reason": "r"}
    )
    (row,) = run_tables.limits_table({"runs": [one]}).rows
    assert row[4].text == text
    assert (row[4].style == "fail") == (found is not None and found > limit)


def test_the_closest_limit_is_found() -> None:
    """It is the limit of the figure with the largest share."""
    share, name = run_tables.find_closest_limit(
        run(figures={"pha_max_abs": 5e-6, "different_patches": 4e-4})
    )
    assert (share, name) == (pytest.approx(0.4), "differently chosen patches")
    assert run_tables.find_closest_limit(run(limits=None)) == (None, "")


@pytest.mark.parametrize(
    ("failed", "text"),
    [(0, "computes what the checkpoint computes on 1 frame."), (1, "1 of 2 variants of")],
)
def test_the_headline_counts(failed: int, text: str) -> None:
    """The headline states failed runs, all runs and frames."""
    records = [run(verdict="fail") for _ in range(failed)] + [run()] * (2 - failed)
    verdict = "fail" if failed else "pass"
    assert text in run_tables.describe_verdict(
        {"runs": records, "frames": ["one"], "verdict": verdict, **OWN}
    )


def test_an_own_error_that_is_not_finite_is_named_so() -> None:
    """JSON has null for it; the verdict's sentence does not fail on it."""
    own = {"pha": {"max": None, "rms": None}, "fgr": {"max": 1e-6, "rms": 1e-7}}
    record = {"verdict": "undecidable", "frames": ["a"], "runs": []}
    text = run_tables.describe_verdict({**record, "reference": {"own_error": own}})
    assert "is off by inf from" in text
    assert format_scientific(run_tables.get_own_error({"reference": {"own_error": own}})) == (
        "not finite"
    )
