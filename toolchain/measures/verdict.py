"""Measured figures against limits: what failed, by how much, and what would have passed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from toolchain.catalog.records import Limits


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
    """The limits that are set, by figure."""
    pairs = ((field.name, getattr(limits, field.name)) for field in fields(limits))
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
