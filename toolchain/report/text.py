"""Texts and number formats of the report."""

from __future__ import annotations

import math
from typing import NamedTuple


class Fact(NamedTuple):
    """A name and its description."""

    name: str
    text: str


DEMONSTRATION = (
    "They are part of the toolchain, so that it works without network access; they are not the "
    "published weights. Judge the conversion by this report, not the quality of the mattes."
)
_SUPERSCRIPTS = str.maketrans(
    "-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
)


def format_power_of_ten(power: int) -> str:
    """Format 10 to `power` with a superscript."""
    return "1" if power == 0 else "10" + str(power).translate(_SUPERSCRIPTS)


def format_scientific(value: float) -> str:
    """Format a number with two digits and a power of ten."""
    if not math.isfinite(value):
        return "not finite"
    digits, _, power = f"{value:.1e}".partition("e")
    return f"{digits} \u00d7 {format_power_of_ten(int(power))}" if value else "0"
