"""What a server's answer means: sizes, ranges, waiting times, pages in place of files."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

Headers = Mapping[str, str]  # case-insensitive, as requests gives them
PAGE_HEAD = 512  # bytes from which a page is told from a file
_PAGES = (b"<!doctype html", b"<html")
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_RETRIED = (408, 429)
_SERVER_ERRORS = 500
SETTLED = 1.0  # seconds; a younger change may be followed by another in the same second


def may_do_better(status: int) -> bool:
    """Whether the same request may succeed in a moment."""
    return status in _RETRIED or status >= _SERVER_ERRORS


def validator(headers: Headers) -> str | None:
    """What to send as If-Range for this content; None if the server gave nothing reliable.

    A weak ETag is none.  A modification time counts only if it lies before the answer's date,
    else the file may change again within the same second.
    """
    tag = headers.get("ETag", "")
    if re.fullmatch(r'"[^"]*"', tag):
        return tag
    changed, answered = _seconds(headers.get("Last-Modified")), _seconds(headers.get("Date"))
    if changed is None or answered is None or answered - changed < SETTLED:
        return None
    return headers["Last-Modified"]


def content_range(headers: Headers) -> tuple[int, int | None] | None:
    """First byte and total of a Content-Range; None if there is no usable one."""
    found = _RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if found is None:
        return None
    return int(found[1]), None if found[3] == "*" else int(found[3])


def content_length(headers: Headers) -> int | None:
    """Bytes of the body that follows, None if the server did not say."""
    text = headers.get("Content-Length", "").strip()
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def retry_after(headers: Headers, now: float | None = None) -> float | None:
    """Seconds from `now` that the server asked to wait, as a number or a date; None if not."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    moment = _seconds(text)
    if moment is None:
        return None
    return max(0.0, moment - (time.time() if now is None else now))


def is_page(name: str, headers: Headers, head: bytes) -> bool:
    """Whether HTML came where the file `name` was asked for."""
    if name.lower().endswith((".html", ".htm", ".xhtml")):
        return False
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml"):
        return True
    return looks_like_page(head)


def looks_like_page(head: bytes) -> bool:
    """Whether a body that begins with `head` is HTML."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_PAGES)


def _seconds(date: str | None) -> float | None:
    if not date:
        return None
    try:
        return parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
