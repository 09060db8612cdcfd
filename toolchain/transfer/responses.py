"""HTTP responses: status, sizes, ranges, waiting times, HTML instead of a file."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

Headers = Mapping[str, str]  # case-insensitive, as in requests
OK, PARTIAL_CONTENT, NOT_SATISFIABLE = 200, 206, 416
PAGE_HEAD = 512  # bytes of a body that are enough to recognize HTML
SETTLED = 1.0  # seconds; a more recent modification may be followed by another in the same second
_HTML_BEGINNINGS = (b"<!doctype html", b"<html")
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_RETRYABLE = (408, 429)
_SERVER_ERRORS = 500


def is_retryable(status: int) -> bool:
    """Return whether the same request may succeed later."""
    return status in _RETRYABLE or status >= _SERVER_ERRORS


def get_validator(headers: Headers) -> str | None:
    """Return the value of If-Range for this content; None if the headers have no reliable one.

    A weak ETag is not reliable.  A modification time is reliable only if it is older than the
    response; otherwise the file may change again within the same second.
    """
    tag = headers.get("ETag", "")
    if re.fullmatch(r'"[^"]*"', tag):
        return tag
    changed, answered = _seconds(headers.get("Last-Modified")), _seconds(headers.get("Date"))
    if changed is None or answered is None or answered - changed < SETTLED:
        return None
    return headers["Last-Modified"]


def get_content_range(headers: Headers) -> tuple[int, int | None] | None:
    """Return first byte and total size of a Content-Range; None if it is missing or invalid."""
    found = _RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if found is None:
        return None
    return int(found[1]), None if found[3] == "*" else int(found[3])


def get_content_length(headers: Headers) -> int | None:
    """Return the size of the body in bytes; None if it is missing or invalid."""
    text = headers.get("Content-Length", "").strip()
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def get_retry_after(headers: Headers) -> float | None:
    """Return the seconds to wait by Retry-After, a number or a date; None if it is missing."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    moment = _seconds(text)
    return None if moment is None else max(0.0, moment - time.time())


def is_page(name: str, headers: Headers, head: bytes) -> bool:
    """Return whether a response is HTML although another kind of file was requested.

    Args:
        name: Name of the requested file.
        headers: Headers of the response.
        head: Beginning of its body, up to PAGE_HEAD bytes; may be empty.
    """
    if name.lower().endswith((".html", ".htm", ".xhtml")):
        return False
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml"):
        return True
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_HTML_BEGINNINGS)


def _seconds(date: str | None) -> float | None:
    if not date:
        return None
    try:
        return parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
