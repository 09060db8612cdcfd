"""Numbers in the report: two digits and a power of ten."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from toolchain.report.text import format_power_of_ten, format_scientific


@given(st.floats(1e-12, 0.99))
def test_small_numbers_have_two_digits_and_a_power_of_ten(value: float) -> None:
    """It is the same number as in Python's own format."""
    digits, power = format_scientific(value).split(" \u00d7 10")
    plain = power.translate(
        str.maketrans(
            "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079", "-0123456789"
        )
    )
    assert f"{digits}e{plain}" == re.sub(r"e-0?", "e-", f"{value:.1e}")
    assert (format_power_of_ten(0), format_scientific(0)) == ("1", "0")


def test_infinity_is_named() -> None:
    """A value that is not finite has no digits."""
    assert format_scientific(float("inf")) == format_scientific(float("nan")) == "not finite"
