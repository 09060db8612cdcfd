"""Histograms of differences as the coordinates of an SVG drawing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolchain.report.text import format_power_of_ten

if TYPE_CHECKING:
    from toolchain.report.page import Histogram, VariantHistograms

WIDTH, HEIGHT = 360, 150  # of the drawing, in its own units
LEFT, TOP, RIGHT, BOTTOM = 44, 10, 6, 26
PLAIN = -4  # percents from 0.01 % are written without an exponent
LOWEST_POWER, LOWEST_SHARE = -8, -7  # of differences, of shares


@dataclass(frozen=True)
class Curve:
    """Outline of one histogram.

    Attributes:
        output: Name of the output.
        path: Path of the outline, for SVG.
        limit: Position of the limit's line, None without a limit.
    """

    output: str
    path: str
    limit: float | None


@dataclass(frozen=True)
class Chart:
    """Drawing of one run.

    Attributes:
        run: Identifier of the run.
        label: Name of the run.
        curves: The histograms of the outputs.
        across: Position and label of each tick along x.
        up: Position and label of each tick along y.
        captions: What each histogram shows, as text.
    """

    run: str
    label: str
    curves: tuple[Curve, ...]
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]
    captions: tuple[str, ...]


def build_chart(found: VariantHistograms) -> Chart:
    """Build the drawing: difference along x, share of all values along y, both logarithmic."""
    return Chart(
        run=found.run,
        label=found.label,
        curves=tuple(
            Curve(item.output, _outline(item.shares), _limit(item)) for item in found.series
        ),
        across=tuple(
            (_x(power), format_power_of_ten(power)) for power in range(LOWEST_POWER, 1, 2)
        ),
        up=tuple((_y(10.0**power), _percent(power)) for power in range(LOWEST_SHARE + 1, 1, 2)),
        captions=tuple(item.caption for item in found.series),
    )


def _outline(shares: tuple[float, ...]) -> str:
    """Draw steps over the bins, closed along the base; the first bin is left of the scale."""
    base = HEIGHT - BOTTOM
    step = (WIDTH - LEFT - RIGHT) / len(shares)
    points = [f"M{LEFT} {base}"]
    for index, share in enumerate(shares):
        left, top = LEFT + index * step, _y(share)
        points.append(f"L{left:.1f} {top:.1f}H{left + step:.1f}")
    return "".join((*points, f"L{WIDTH - RIGHT} {base}Z"))


def _limit(series: Histogram) -> float | None:
    if series.limit is None or series.limit <= 0:
        return None
    return round(_x(math.log10(series.limit)), 1)


def _x(power: float) -> float:
    """Position along x; bins are a quarter of a decade wide, and the first is left of 1e-8."""
    bins = 4 * -LOWEST_POWER + 1
    place = (4 * (power - LOWEST_POWER) + 1) / bins
    return LEFT + min(max(place, 0.0), 1.0) * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    base = HEIGHT - BOTTOM
    if share <= 0:
        return base
    place = 1 - math.log10(share) / LOWEST_SHARE
    return base - min(max(place, 0.0), 1.0) * (base - TOP)


def _percent(power: int) -> str:
    """Format the share 10 to `power` as percent."""
    return f"{100 * 10.0**power:g}%" if power >= PLAIN else f"{format_power_of_ten(power + 2)}%"
