"""Fill a partial file from a web server: resume, retry, and believe nothing unchecked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from toolchain.catalog.records import HttpSource, ModelFile
from toolchain.errors import SourceError
from toolchain.progress import Task
from toolchain.transfer import answers
from toolchain.transfer.connection import Connection, Dropped, opened
from toolchain.transfer.partial import Origin, Partial
from toolchain.transfer.transport import Transport, shown

if TYPE_CHECKING:
    import requests

Ask = Callable[["Connection", dict[str, str]], "requests.Response"]
REPORT_SECONDS = 0.1
SIGN_SECONDS = 0.5  # between two signs of life while waiting for the next attempt
OK, PARTIAL_CONTENT, NOT_SATISFIABLE = 200, 206, 416


class Cancelled(Exception):  # noqa: N818 - no error: someone else's made this one pointless
    """Another file of the same request failed, or the person interrupted."""


class _Again(Exception):  # noqa: N818 - a turn of the loop, never seen outside
    """This attempt failed, and the next one may not.  `after`: seconds the server asked for."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class _Afresh(Exception):  # noqa: N818 - likewise
    """The server can't go on from where we are: ask for the whole file."""


@dataclass(frozen=True)
class Fetch:
    """One file from one server.

    `name`: as it may be shown, and what a later process must ask for to go on.
    `ask`: sends the request with the given headers.
    """

    name: str
    ask: Ask
    file: ModelFile
    partial: Partial
    transport: Transport
    task: Task
    cancelled: threading.Event = field(default_factory=threading.Event)


def fetch_http(
    source: HttpSource,
    file: ModelFile,
    partial: Partial,
    transport: Transport,
    task: Task,
    cancelled: threading.Event,
) -> None:
    """Have the whole of `source` in `partial`, its length checked, its digest not.

    Raises SourceError when the source can't give it, after the retries that make sense;
    WorkspaceError if the disk fails.  What arrived stays in `partial` for a later attempt.
    """
    ask: Ask = lambda connection, headers: connection.get(source.url, headers)  # noqa: E731
    fetch(Fetch(shown(source), ask, file, partial, transport, task, cancelled))


def fetch(work: Fetch) -> None:
    """Attempt until it is done.  Raises as `fetch_http`."""
    most = work.transport.attempts
    with opened(work.transport) as connection:
        for failures in range(1, most + 1):
            trouble = _trouble(work, connection)
            if trouble is None:
                return
            if failures == most:
                tries = "" if failures == 1 else f" ({failures} attempts)"
                raise SourceError(f"{trouble}{tries}", retry=True) from trouble
            _wait(work, work.transport.delay(failures, trouble.after))


def _trouble(work: Fetch, connection: Connection) -> _Again | None:
    """One attempt; None if it did it."""
    try:
        _attempt(work, connection)
    except _Again as trouble:
        return trouble
    except Dropped as dropped:
        return _Again(str(dropped))
    return None


def _wait(work: Fetch, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if work.cancelled.wait(min(left, SIGN_SECONDS)):
            raise Cancelled
        work.task.reach(work.partial.size)  # whoever listens may end it here


def _attempt(work: Fetch, connection: Connection) -> None:
    offset = work.partial.resumable(work.name, digest_known=work.file.digest is not None)
    if offset and offset == (work.file.size or _total_of(work)):
        work.partial.go_on()  # an earlier process had fetched all of it
        work.task.reach(offset)
        return
    if offset:
        try:
            _transfer(work, connection, offset)
        except _Afresh:
            _transfer(work, connection, 0)
    else:
        _transfer(work, connection, 0)


def _total_of(work: Fetch) -> int | None:
    return work.partial.origin.total if work.partial.origin else None


def _transfer(work: Fetch, connection: Connection, offset: int) -> None:
    headers = {"Accept-Encoding": "identity"}
    if offset:
        work.partial.go_on()
        headers["Range"] = f"bytes={offset}-"
        if work.partial.origin and work.partial.origin.validator:
            headers["If-Range"] = work.partial.origin.validator
    with connection.receiving(work.ask, headers) as response:
        begins, total = _checked(work, response, offset)
        head = connection.head(response, answers.PAGE_HEAD)
        if not begins and answers.is_page(work.file.name, response.headers, head):
            raise SourceError("a web page came instead of the file: a login or quota page")
        if begins == 0:
            origin = Origin(work.name, answers.validator(response.headers), total)
            work.partial.start_over(origin)
        work.task.expect(work.file.size or total)
        _stream(work, connection, response, head)
    _check_end(work, total)


def _checked(work: Fetch, response: requests.Response, offset: int) -> tuple[int, int | None]:
    """Where the body begins in the file (`offset` or 0), and the file's size if it was said."""
    status = response.status_code
    if offset and status == NOT_SATISFIABLE:
        raise _Afresh
    if status not in (OK, PARTIAL_CONTENT):
        reason = f"{status} {response.reason or ''}".rstrip()
        if answers.may_do_better(status):
            raise _Again(reason, answers.retry_after(response.headers))
        raise SourceError(reason)
    length = answers.content_length(response.headers)
    begins, total = 0, length
    if status == PARTIAL_CONTENT:
        placed = answers.content_range(response.headers)
        if not offset:
            raise SourceError("sent a part of the file when all of it was asked for")
        if placed is None or placed[0] != offset or _changed(work, response, placed[1]):
            raise _Afresh
        begins, total = placed
        if total is None and length is not None:
            total = offset + length
    if total is not None and work.file.size is not None and total != work.file.size:
        if begins:
            raise _Afresh
        raise SourceError(f"wrong size: expected {work.file.size:,} bytes, found {total:,}")
    return begins, total


def _changed(work: Fetch, response: requests.Response, total: int | None) -> bool:
    """Whether a server that went on all the same tells of another content than ours."""
    ours = work.partial.origin
    if ours is None:
        return True
    theirs = answers.validator(response.headers)
    if ours.validator and theirs and ours.validator != theirs:
        return True
    return ours.total is not None and total is not None and ours.total != total


def _stream(work: Fetch, connection: Connection, response: requests.Response, head: bytes) -> None:
    reported = 0.0
    piece = head
    while piece:
        limit = work.file.size
        if limit is not None and work.partial.size + len(piece) > limit:
            work.partial.discard()
            raise SourceError(f"wrong size: expected {limit:,} bytes, found more")
        work.partial.append(piece)
        if (now := time.monotonic()) - reported >= REPORT_SECONDS:
            reported = now
            work.task.reach(work.partial.size)
        if work.cancelled.is_set():
            raise Cancelled
        piece = connection.piece(response)
    work.task.reach(work.partial.size)


def _check_end(work: Fetch, total: int | None) -> None:
    expected = work.file.size if total is None else total
    if expected is not None and work.partial.size < expected:
        raise _Again(f"cut off after {work.partial.size:,} of {expected:,} bytes")
