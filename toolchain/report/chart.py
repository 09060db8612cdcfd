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
PLAIN = -4  # from 0.01 % on percents are written out
LOWEST_POWER, LOWEST_SHARE = -8, -7  # of differences, of shares of all values


@dataclass(frozen=True)
class Curve:
    """`path`: of the outline, ready for SVG; `limit`: where the limit's line stands, if any."""

    output: str
    path: str
    limit: float | None


@dataclass(frozen=True)
class Chart:
    """One run's drawing.  Ticks: place and label.  `said`: what it shows, in words."""

    run: str
    label: str
    curves: tuple[Curve, ...]
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]
    said: tuple[str, ...]


def build_chart(spread: VariantHistograms) -> Chart:
    """Both axes are logarithmic: difference across, share of all values up."""
    return Chart(
        run=spread.run,
        label=spread.label,
        curves=tuple(
            Curve(item.output, _outline(item.shares), _limit(item)) for item in spread.series
        ),
        across=tuple(
            (_x(power), format_power_of_ten(power)) for power in range(LOWEST_POWER, 1, 2)
        ),
        up=tuple((_y(10.0**power), _percent(power)) for power in range(LOWEST_SHARE + 1, 1, 2)),
        said=tuple(item.said for item in spread.series),
    )


def _outline(shares: tuple[float, ...]) -> str:
    """Steps over the bins, closed along the base; the first bin lies left of the scale."""
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
    """Across: the first of the bins, which are a quarter of a decade wide, is left of 1e-8."""
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
    """10 to `power`, a share, as percent."""
    return f"{100 * 10.0**power:g}%" if power >= PLAIN else f"{format_power_of_ten(power + 2)}%"
