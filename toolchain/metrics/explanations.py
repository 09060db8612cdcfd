"""Decide whether a diagnostic experiment explains a failure: whether it removes the difference."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from toolchain.catalog.records import Limits
from toolchain.metrics.comparison import ComparisonResult
from toolchain.metrics.verdict import find_worst_figure, select_run_limits

SHARE = 0.1  # of the difference may remain after the experiment


def build_explanation(
    hypothesis: str,
    found: str,
    limits: Limits,
    before: ComparisonResult,
    after: ComparisonResult | None,
) -> dict[str, Any]:
    """Build one row of "explanations" in validation.json.

    Args:
        hypothesis: The candidate cause.
        found: What was inspected or changed, one sentence.
        limits: Limits of the variant.
        before: The failed run on one frame.
        after: The experiment on the same frame, None where none was needed.

    Returns:
        The row. `figure` is the figure with the largest multiple of its limit; `before` and `after`
        are its values, null where they are not finite. `convinces`: the experiment meets every
        limit and the figure falls to a tenth or less.
    """
    known = select_run_limits(limits, truth=before.details["metrics"] is not None)
    figure = find_worst_figure(known, before.figures, before.bases) or "pha_max_abs"
    old = before.figures[figure]
    new = None if after is None else after.figures.get(figure)
    convinces = (
        after is not None
        and not after.failures
        and new is not None
        and (old is None or not math.isfinite(old) or new <= SHARE * old)
    )
    return {
        "hypothesis": hypothesis,
        "found": found,
        "figure": figure,
        "before": old,
        "after": new,
        "convinces": convinces,
    }


def sort_explanations(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sort rows: convincing ones first, then by the remaining difference."""

    def key(row: dict[str, Any]) -> tuple[bool, float]:
        left = row["after"]
        return not row["convinces"], math.inf if left is None or math.isnan(left) else left

    return sorted(rows, key=key)
