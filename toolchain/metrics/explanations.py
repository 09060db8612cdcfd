"""Whether an experiment explains a fail: did it bring the outputs together?"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from toolchain.catalog.records import Limits
from toolchain.metrics.comparison import Measured
from toolchain.metrics.verdict import furthest, without_truth

SHARE = 0.1  # of the difference: an explanation leaves at most this much of it


def explanation(
    hypothesis: str, found: str, limits: Limits, before: Measured, after: Measured | None
) -> dict[str, Any]:
    """One row of "explanations".

    `figure`: the one furthest beyond its limit.  `before` and `after` the experiment: its values,
    null where they are NaN or infinite; `after` is also null where nothing had to be run to rule
    the hypothesis out.  `convinces`: with it the run keeps every limit, and the figure falls to a
    tenth or less.
    """
    known = limits if before.details["truth"] is not None else without_truth(limits)
    figure = furthest(known, before.figures) or "pha_max_abs"
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


def in_order(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Best first: those that convince, then by what is left of the difference."""

    def key(row: dict[str, Any]) -> tuple[bool, float]:
        left = row["after"]
        return not row["convinces"], math.inf if left is None or math.isnan(left) else left

    return sorted(rows, key=key)
