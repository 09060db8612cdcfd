"""Text of unknown origin is printed on one line, short and without control characters."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.printable import (
    PrintableStream,
    printable,
    printable_json,
    printable_lines,
    printable_list,
)


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


def test_lines_stay_lines_of_a_limited_length() -> None:
    """Line breaks stay; each line is printable, and there are not too many."""
    assert printable_lines("a\x1b\nb\r\n") == "a\\x1b\nb\n"
    shown = printable_lines("\n".join(["x" * 10_000] * 1000))
    assert len(shown.splitlines()) == 401
    assert max(map(len, shown.splitlines())) < 4100


@given(st.recursive(st.text(st.characters()), st.lists, max_leaves=5))
def test_json_is_printable_and_means_the_same(value: object) -> None:
    """Control characters, also those that JSON permits, are written as escapes."""
    text = printable_json(value)
    assert text.replace("\n", "").isprintable()
    assert json.loads(text) == value


def test_a_stream_escapes_what_is_written_to_it() -> None:
    """Only line breaks, tabs and the carriage return of a progress line pass."""
    target = io.StringIO()
    stream = PrintableStream(target)
    stream.writelines(["\x1b[31mred\x9b\u202e\n", "\t\u00e9\u6f22\n"])
    stream.write("\r")
    assert target.getvalue() == "\\x1b[31mred\\x9b\\u202e\n\t\u00e9\u6f22\n\r"
    with pytest.raises(OSError, match="closed"):
        PrintableStream(None).write("x")
