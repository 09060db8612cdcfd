"""Measured figures against limits: what failed, by how much, and what would have passed."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields

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
