"""Text of unknown origin is printed on one line, short and without control characters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from toolchain.printable import printable, printable_list


@given(st.text(st.characters(), max_size=200))
def test_any_text_becomes_printable_and_short(text: str) -> None:
    """Control characters, line breaks, directions of writing and surrogates are escaped."""
    shown = printable(text, 40)
    assert shown.isprintable()
    assert len(shown) <= 40 * 10 + 30
    shown.encode()


def test_plain_text_is_unchanged() -> None:
    """Also beyond ASCII."""
    assert printable("decoder.conv1.weight \u00e9 \u6f22") == "decoder.conv1.weight \u00e9 \u6f22"


def test_escapes_are_shown() -> None:
    """As in a Python literal."""
    assert printable("\x1b[31m\n\u202e\ud800") == r"\x1b[31m\n\u202e\ud800"


def test_long_text_is_cut_and_counted() -> None:
    """So is a long list."""
    assert printable("a" * 1234, 3) == "aaa... (1,234 characters)"
    assert printable_list(["a", "b\n", "c"], 2) == r"a, b\n and 1 more"
    assert printable_list(["a"], 2, count=5_000) == "a and 4,999 more"
    assert printable_list([]) == ""
