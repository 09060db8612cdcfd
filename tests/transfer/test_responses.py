"""Headers of responses."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from toolchain.transfer.responses import (
    get_content_length,
    get_content_range,
    get_retry_after,
    get_validator,
    is_page,
    is_retryable,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes 5-9/10", (5, 10)),
        ("bytes 5-9/*", (5, None)),
        ("bytes */10", None),
        ("bytes 5-9/" + "9" * 5000, None),
        ("bytes 5-9/\u0661", None),
        ("lines 5-9/10", None),
        ("", None),
    ],
)
def test_a_content_range_is_parsed(text: str, expected: object) -> None:
    """First byte and total; None for anything else."""
    assert get_content_range({"Content-Range": text}) == expected


@pytest.mark.parametrize(("text", "expected"), [("12", 12), ("-1", None), ("1" * 30, None)])
def test_a_content_length_is_parsed(text: str, expected: object) -> None:
    """A number of bytes, or None."""
    assert get_content_length({"Content-Length": text}) == expected


def test_a_validator_is_a_strong_etag_or_a_settled_time() -> None:
    """Weak ETags, recent and invalid times are not."""
    now = formatdate(1_000_000, usegmt=True)
    before, settled = (formatdate(1_000_000 - age, usegmt=True) for age in (0, 60))
    assert get_validator({"ETag": '"one"'}) == '"one"'
    assert get_validator({"ETag": 'W/"one"'}) is None
    assert get_validator({"Last-Modified": settled, "Date": now}) == settled
    assert get_validator({"Last-Modified": before, "Date": now}) is None
    assert get_validator({"Last-Modified": "yesterday", "Date": now}) is None


def test_retry_after_is_a_number_or_a_date() -> None:
    """A date in the past is 0, anything else None."""
    assert get_retry_after({"Retry-After": "7"}) == 7
    assert get_retry_after({"Retry-After": formatdate(0, usegmt=True)}) == 0
    later = get_retry_after({"Retry-After": formatdate(time.time() + 60, usegmt=True)})
    assert later is not None
    assert 50 < later <= 60
    assert get_retry_after({"Retry-After": "soon"}) is None


def test_html_is_a_page_unless_html_was_requested() -> None:
    """By Content-Type or by the beginning of the body."""
    assert is_page("a.bin", {"Content-Type": "Text/HTML; charset=utf-8"}, b"")
    assert is_page("a.bin", {}, b"\xef\xbb\xbf <!DOCTYPE html>")
    assert not is_page("a.bin", {}, b"PK")
    assert not is_page("a.HTML", {"Content-Type": "text/html"}, b"<html>")


def test_temporary_failures_are_retryable() -> None:
    """408, 429 and 5xx."""
    found = [status for status in (400, 404, 408, 429, 500, 503) if is_retryable(status)]
    assert found == [408, 429, 500, 503]
