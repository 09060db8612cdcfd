"""Measured figures against limits: what failed, by how much, and what would have passed."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from toolchain.catalog.records import Limits

LAYERS = "layers_max_rel"  # on inner tensors: see the layers stage


@dataclass(frozen=True)
class Failure:
    """One figure over its limit, or something that is wrong in itself (`limit` None)."""

    figure: str
    found: float | None
    limit: float | None

    def __str__(self) -> str:
        if self.limit is None:
            return self.figure
        return f"{self.figure} is {self.found:.3g}, the limit is {self.limit:.3g}"


def limited_figures(limits: Limits) -> dict[str, float]:
    """The limits on outputs that are set, by figure."""
    names = (field.name for field in fields(limits) if field.name != LAYERS)
    pairs = ((name, getattr(limits, name)) for name in names)
    return {name: value for name, value in pairs if isinstance(value, float | int)}


def worse(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """How much worse the metrics `after` are than `before`: the figures that limits may name.

    `<metric>_worse`: the difference; `alpha_grad_worse_share`: as a share of `before`, infinite
    where that is 0 and `after` is not.
    """
    figures = {f"{metric}_worse": after[metric] - before[metric] for metric in before}
    gained, base = figures["alpha_grad_worse"], before["alpha_grad"]
    share = gained / base if base else math.copysign(math.inf, gained) if gained else 0.0
    return {**figures, "alpha_grad_worse_share": share}


def on_truth(limits: Limits) -> Limits:
    """Only the limits on metrics against a known truth."""
    others = [name for name in limited_figures(limits) if "_worse" not in name]
    return _unlimited(limits, others)


def without_truth(limits: Limits) -> Limits:
    """Only the limits that can be judged where no frame's truth is known."""
    return _unlimited(limits, [name for name in limited_figures(limits) if "_worse" in name])


def _unlimited(limits: Limits, names: list[str]) -> Limits:
    nothing: dict[str, Any] = dict.fromkeys(names)
    return replace(limits, **nothing)


def judge(limits: Limits, measured: Mapping[str, float | None]) -> tuple[Failure, ...]:
    """Every limit of `limits` that `measured` does not keep, in the limits' own order.

    A limited figure that could not be measured is a failure too: it was not shown to hold.
    """
    failures = []
    for figure, limit in limited_figures(limits).items():
        found = measured.get(figure)
        if found is None:
            failures.append(Failure(f"{figure} was not measured", None, None))
        elif not found <= limit:
            failures.append(Failure(figure, found, limit))
    return tuple(failures)


def would_pass(limits: Limits, measured: Mapping[str, float | None]) -> dict[str, float | None]:
    """The smallest limit that each limited figure keeps: what was measured itself.

    None where nothing would do: not measured, NaN or infinite.
    """
    found = {figure: measured.get(figure) for figure in limited_figures(limits)}
    return {
        figure: value if value is not None and abs(value) < sys.float_info.max else None
        for figure, value in found.items()
    }


def furthest(limits: Limits, measured: Mapping[str, float | None]) -> str | None:
    """The figure that is the largest multiple of its limit; None if no limited one was measured."""

    def times(figure: str) -> float:
        found = measured[figure]
        if found is None or not math.isfinite(found):
            return math.inf
        return found / max(bounds[figure], sys.float_info.min)

    bounds = limited_figures(limits)
    known = [figure for figure in bounds if measured.get(figure) is not None]
    return max(known, key=times, default=None)
