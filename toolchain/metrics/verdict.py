"""Measured figures against limits: what failed, by how much, and which limit would have passed."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from toolchain.catalog.records import Limits
from toolchain.definitions.metrics import FIGURES, change_of, increase_of

FigureValues = Mapping[str, float | None]
RUN_FIGURES = tuple(figure.key for figure in FIGURES if not figure.of_layers)
TRUTH_FIGURES = tuple(figure.key for figure in FIGURES if figure.needs_truth)


@dataclass(frozen=True)
class Failure:
    """A figure beyond its limit, or one that was not measured.

    Attributes:
        figure: Key of the figure.
        found: Its value, None if it was not measured.
        limit: The bound that it was compared with.
    """

    figure: str
    found: float | None
    limit: float

    def __str__(self) -> str:
        if self.found is None:
            return f"{self.figure} was not measured"
        return f"{self.figure} is {self.found:.3g}, the limit is {self.limit:.3g}"


def compare_metrics(original: Mapping[str, float], found: Mapping[str, float]) -> dict[str, float]:
    """Compute the figures "change" and "increase" of every metric.

    Args:
        original: Metrics of the original by key.
        found: Metrics of the variant by key.
    """
    figures = {}
    for metric, value in found.items():
        figures[change_of(metric)] = abs(value - original[metric])
        figures[increase_of(metric)] = value - original[metric]
    return figures


def get_metric_bases(original: Mapping[str, float]) -> dict[str, float]:
    """Map each metric figure to the metric of the original, the base of its relative limit."""
    return {
        key(metric): value for metric, value in original.items() for key in (change_of, increase_of)
    }


def select_truth_limits(limits: Limits) -> Limits:
    """Restrict `limits` to figures that need a ground truth."""
    return limits.only(TRUTH_FIGURES)


def select_run_limits(limits: Limits, *, truth: bool) -> Limits:
    """Restrict `limits` to figures of a run; without `truth` to those that need none."""
    return limits.only(key for key in RUN_FIGURES if truth or key not in TRUTH_FIGURES)


def compute_bounds(limits: Limits, bases: FigureValues) -> dict[str, float]:
    """Largest permitted value of each limited figure."""
    return {key: limit.bound(bases.get(key)) for key, limit in limits.by_figure.items()}


def find_failures(
    limits: Limits, measured: FigureValues, bases: FigureValues
) -> tuple[Failure, ...]:
    """List every limit that is exceeded, in the order of the limits.

    A limited figure that was not measured is a failure too, as is NaN.
    """
    failures = []
    for figure, bound in compute_bounds(limits, bases).items():
        found = measured.get(figure)
        if found is None or not found <= bound:
            failures.append(Failure(figure, found, bound))
    return tuple(failures)


def find_passing_limits(limits: Limits, measured: FigureValues) -> dict[str, float | None]:
    """Return the smallest absolute limit that each limited figure would meet: its measured value.

    None where there is no such limit: not measured, NaN or infinite.
    """
    found = {figure: measured.get(figure) for figure in limits.by_figure}
    return {
        figure: value if value is not None and abs(value) < sys.float_info.max else None
        for figure, value in found.items()
    }


def ratio_to_bound(found: float | None, bound: float) -> float:
    """`found` as a multiple of `bound`; infinite where it is not a finite number."""
    if found is None or not math.isfinite(found):
        return math.inf
    if found <= 0:
        return 0.0
    return found / bound if bound > 0 else math.inf


def find_worst_figure(limits: Limits, measured: FigureValues, bases: FigureValues) -> str | None:
    """The measured figure that is the largest multiple of its bound, None if none was measured."""
    bounds = compute_bounds(limits, bases)
    known = [figure for figure in bounds if measured.get(figure) is not None]
    return max(known, key=lambda key: ratio_to_bound(measured[key], bounds[key]), default=None)
