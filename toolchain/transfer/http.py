"""Download from a web server into a partial file: resume, retry, check every response."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import requests

from toolchain.catalog.records import ModelFile
from toolchain.errors import SourceError
from toolchain.printable import printable
from toolchain.progress import Task
from toolchain.transfer import responses
from toolchain.transfer.connection import Connection, ConnectionFailure, SendRequest, connect
from toolchain.transfer.partial import Origin, Partial
from toolchain.transfer.transport import Transport

PAGE = "received a web page instead of the file (a login or quota page)"
REPORT_SECONDS = 0.1
WAIT_REPORT_SECONDS = 0.5  # between two progress reports while waiting for the next attempt


class Cancelled(Exception):  # noqa: N818 - not an error
    """Another file of the same request failed, or the user interrupted."""


class _FailedAttempt(Exception):  # noqa: N818 - handled by the retry loop
    """The attempt failed; another one may succeed, after `retry_after` seconds if given."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class _CannotResume(Exception):  # noqa: N818 - handled within an attempt
    """The server cannot continue the partial file: request the whole file."""


@dataclass(frozen=True)
class Download:
    """One file from one server.

    Attributes:
        name: Name of the source for messages; a later process continues the partial file only
            with a source of the same name.
        send: Sends the request with the given headers.
        file: The file, with size and digest if known.
        partial: Where the bytes go.
        transport: Timeouts and retries.
        task: Receives the progress.
        cancelled: Ends the download when it is set.
    """

    name: str
    send: SendRequest
    file: ModelFile
    partial: Partial
    transport: Transport
    task: Task
    cancelled: threading.Event


def fetch(work: Download) -> None:
    """Download the whole file into the partial file; checks its size, not its digest.

    Received bytes stay in the partial file after an error.

    Raises:
        SourceError: The source cannot provide the file, after all attempts that make sense.
        WorkspaceError: The partial file cannot be written.
        Cancelled: `cancelled` was set.
    """
    most = work.transport.attempts
    end = time.monotonic() + work.transport.longest_transfer
    with connect(work.transport) as connection:
        for failures in range(1, most + 1):
            failed = _attempt(work, connection, end)
            if failed is None:
                return
            if failures == most or time.monotonic() >= end:
                attempts = "" if failures == 1 else f" ({failures} attempts)"
                raise SourceError(f"{failed}{attempts}") from failed
            _wait(work, work.transport.delay(failures, failed.retry_after))


def _attempt(work: Download, connection: Connection, end: float) -> _FailedAttempt | None:
    try:
        _resume_or_start(work, connection, end)
    except _FailedAttempt as failed:
        return failed
    except ConnectionFailure as failure:
        return _FailedAttempt(str(failure))
    return None


def _wait(work: Download, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if work.cancelled.wait(min(left, WAIT_REPORT_SECONDS)):
            raise Cancelled
        work.task.reach(work.partial.size)  # the listener may interrupt here


def _resume_or_start(work: Download, connection: Connection, end: float) -> None:
    origin = work.partial.origin
    offset = work.partial.resumable(work.name, digest_known=work.file.digest is not None)
    if offset and offset == (work.file.size or (origin.total if origin else None)):
        work.partial.resume()  # an earlier process had received all of it
        work.task.reach(offset)
        return
    if offset:
        try:
            _transfer(work, connection, offset, end)
        except _CannotResume:
            offset = 0
        else:
            return
    _transfer(work, connection, 0, end)


def _transfer(work: Download, connection: Connection, offset: int, end: float) -> None:
    headers = {"Accept-Encoding": "identity"}
    if offset:
        work.partial.resume()
        headers["Range"] = f"bytes={offset}-"
        if work.partial.origin and work.partial.origin.validator:
            headers["If-Range"] = work.partial.origin.validator
    with connection.open(work.send, headers) as response:
        begins, total = _check_response(work, response, offset)
        head = connection.read_head(response, responses.PAGE_HEAD)
        is_page = not begins and responses.is_page(work.file.name, response.headers, head)
        if is_page and work.file.digest is None:
            raise SourceError(PAGE)
        if begins == 0:
            validator = responses.get_validator(response.headers)
            work.partial.start_over(Origin(work.name, validator, total))
        work.task.expect(work.file.size or total)
        _receive(work, connection, response, head, end)
    expected = work.file.size if total is None else total
    if expected is not None and work.partial.size < expected:
        raise _FailedAttempt(
            f"the connection was closed after {work.partial.size:,} of {expected:,} bytes"
        )
    if is_page and work.file.digest not in work.partial.digests().values():
        work.partial.discard()
        raise SourceError(PAGE)


def _check_response(
    work: Download, response: requests.Response, offset: int
) -> tuple[int, int | None]:
    """Return where the body begins in the file (`offset` or 0) and the file's size if known."""
    status = response.status_code
    if offset and status == responses.NOT_SATISFIABLE:
        raise _CannotResume
    if status not in (responses.OK, responses.PARTIAL_CONTENT):
        reason = printable(f"{status} {response.reason or ''}".rstrip())
        if responses.is_retryable(status):
            raise _FailedAttempt(reason, responses.get_retry_after(response.headers))
        raise SourceError(reason)
    length = responses.get_content_length(response.headers)
    begins, total = 0, length
    if status == responses.PARTIAL_CONTENT:
        placed = responses.get_content_range(response.headers)
        if not offset:
            raise SourceError("received a part of the file although all of it was requested")
        if placed is None or placed[0] != offset or _has_changed(work, response, placed[1]):
            raise _CannotResume
        begins, total = placed
        if total is None and length is not None:
            total = offset + length
    fault = "" if total is None else find_size_fault(work.file, total, work.transport)
    if fault:
        if begins:
            raise _CannotResume
        raise SourceError(fault)
    return begins, total


def _has_changed(work: Download, response: requests.Response, total: int | None) -> bool:
    """Return whether a server that ignores If-Range continues with other content than ours."""
    ours = work.partial.origin
    if ours is None:
        return True
    theirs = responses.get_validator(response.headers)
    if ours.validator and theirs and ours.validator != theirs:
        return True
    return ours.total is not None and total is not None and ours.total != total


def _receive(
    work: Download, connection: Connection, response: requests.Response, head: bytes, end: float
) -> None:
    reported = 0.0
    measured, counted = time.monotonic(), work.partial.size
    chunk = head
    while chunk:
        append_within_limit(work.partial, chunk, work.file, work.transport)
        now = time.monotonic()
        if now - reported >= REPORT_SECONDS:
            reported = now
            work.task.reach(work.partial.size)
        if now - measured >= work.transport.slow_time:
            if work.partial.size - counted < work.transport.slow_bytes:
                raise _FailedAttempt(
                    f"less than {work.transport.slow_bytes:,} bytes in "
                    f"{work.transport.slow_time:g} s"
                )
            measured, counted = now, work.partial.size
        if now >= end:
            raise _FailedAttempt(f"not complete after {work.transport.longest_transfer:g} s")
        if work.cancelled.is_set():
            raise Cancelled
        chunk = connection.read_chunk(response)
    work.task.reach(work.partial.size)


def append_within_limit(
    partial: Partial, chunk: bytes, file: ModelFile, transport: Transport
) -> None:
    """Append a chunk, unless the file becomes larger than it may be.

    Raises:
        SourceError: It does; nothing is kept.
        WorkspaceError: The partial file cannot be written.
    """
    limit = transport.size_limit if file.size is None else file.size
    if partial.size + len(chunk) > limit:
        partial.discard()
        if file.size is None:
            raise SourceError(find_size_fault(file, limit + 1, transport))
        raise SourceError(f"wrong size: expected {limit:,} bytes, found more")
    partial.append(chunk)


def find_size_fault(file: ModelFile, size: int, transport: Transport) -> str:
    """Return why the file cannot have this size in bytes; "" if it can."""
    if file.size is None:
        limit = transport.size_limit
        return f"larger than {limit:,} bytes, the limit without a size" if size > limit else ""
    return "" if size == file.size else f"wrong size: expected {file.size:,} bytes, found {size:,}"
