"""Sums of floats without any rounding: however the numbers were split, the total is the same."""

from __future__ import annotations

import math
from collections.abc import Iterable


class ExactSum:
    """A sum kept as floats that do not overlap (Shewchuk 1997), as `math.fsum` does inside.

    Adding and merging are exact, so they commute and associate; only `value` rounds, once.
    """

    def __init__(self, parts: Iterable[float] = ()) -> None:
        self._parts: list[float] = []
        for part in parts:
            self.add(part)

    def add(self, number: float) -> None:
        """Add a finite number.  ValueError for NaN, for infinity, and if the sum overflows."""
        if not math.isfinite(number):
            raise ValueError(f"{number} can't be summed up")
        kept = []
        for part in self._parts:
            large, small = (number, part) if abs(number) >= abs(part) else (part, number)
            number = large + small
            if not math.isfinite(number):
                raise ValueError("the sum is too large for a float")
            rest = small - (number - large)
            if rest:
                kept.append(rest)
        self._parts = [*kept, number] if number else kept

    def merge(self, other: ExactSum) -> None:
        """Add all that `other` holds."""
        for part in other.parts:
            self.add(part)

    @property
    def parts(self) -> tuple[float, ...]:
        """Floats whose exact sum this is, smallest first; JSON keeps them to the bit."""
        return tuple(self._parts)

    @property
    def value(self) -> float:
        """The sum, correctly rounded."""
        return math.fsum(self._parts)
