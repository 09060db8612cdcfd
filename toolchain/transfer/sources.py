"""Transfer from a source of any kind, and the error if no source provides the file."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from toolchain.catalog.builtin import data_file
from toolchain.catalog.records import (
    Digest,
    FileSource,
    GoogleDriveSource,
    HttpSource,
    ModelFile,
    PackageSource,
    Source,
)
from toolchain.errors import CatalogError, DownloadError, IntegrityError, SourceError
from toolchain.progress import Task
from toolchain.transfer.connection import SendRequest
from toolchain.transfer.google_drive import DriveRequest
from toolchain.transfer.http import (
    Cancelled,
    Download,
    append_within_limit,
    fetch,
    find_size_fault,
)
from toolchain.transfer.partial import Origin, Partial, partial_path
from toolchain.transfer.transport import Transport, browser_address, display_name
from toolchain.workspace.digests import CHUNK, Digests
from toolchain.workspace.plain_file import open_plain_file


class WrongDigestError(SourceError):
    """A source provided a complete file with another digest."""

    def __init__(self, expected: Digest, found: Digest) -> None:
        super().__init__(
            f"wrong {expected.algorithm}: expected {expected.value}, found {found.value}"
        )
        self.expected = expected
        self.found = found


def fetch_verified(
    source: Source,
    file: ModelFile,
    partial: Partial,
    transport: Transport,
    task: Task,
    cancelled: threading.Event,
) -> Digests:
    """Transfer a file into the partial file, and verify its size and digest if known.

    If a resumed file is not the expected one, it is transferred once more from the beginning.

    Returns:
        The digests of the file.

    Raises:
        SourceError: The source cannot provide this file.
        WorkspaceError: The partial file cannot be written.
        Cancelled: `cancelled` was set.
    """
    while True:
        if isinstance(source, HttpSource | GoogleDriveSource):
            send = build_request(source, file, transport)
            name = display_name(source)
            fetch(Download(name, send, file, partial, transport, task, cancelled))
        else:
            _copy(source, file, partial, transport, task, cancelled)
        digests = partial.digests()
        fault = _find_fault(file, partial.size, digests, transport)
        if fault is None:
            return digests
        resumed = partial.resumed
        partial.discard()
        if not resumed:
            raise fault
        task.reach(0)


def build_request(
    source: HttpSource | GoogleDriveSource, file: ModelFile, transport: Transport
) -> SendRequest:
    """Return the function that sends the request for the file."""
    if isinstance(source, GoogleDriveSource):
        return DriveRequest(source.id, transport.drive_url, file.name)
    url = source.url
    verified = file.digest is not None
    return lambda connection, headers: connection.get(url, headers, verified=verified)


def local_path(source: FileSource | PackageSource) -> Path:
    """Return the path of a local source, which need not exist.

    Raises:
        SourceError: The path leaves the package data.
    """
    if isinstance(source, FileSource):
        return source.path
    try:
        return data_file(source.path)
    except CatalogError as error:
        raise SourceError(error.message) from error


def no_source_succeeded(
    file: ModelFile,
    target: Path,
    failures: Sequence[tuple[Source, SourceError]],
    fault: str,
    alternative: str,
) -> DownloadError:
    """Build the error for a file that no source provided.

    Args:
        file: The file.
        target: Its path.
        failures: Every source with its error.
        fault: What is wrong with an existing file at `target`, "" if there is none.
        alternative: A sentence on what else the user can do, or "".

    Returns:
        The error with all reasons, the addresses, and the path for a manual download.
    """
    place = target.absolute()
    hint = f"Place the file manually at {place}: it is verified and used."
    if addresses := [address for source, _ in failures if (address := browser_address(source))]:
        hint = (
            f"To download it manually: get {' or '.join(addresses)} and save it as {place}; it is "
            "verified and used."
        )
    if alternative:
        hint += f"\n{alternative}"
    kept = ""
    partial = partial_path(target)
    if fault:
        kept = "The existing file is unchanged and is not used."
    elif partial.is_file() and partial.stat().st_size:
        kept = "The received part is kept; the next run continues from it."
    if not failures and fault:
        return IntegrityError(fault, kept=kept, hint=hint)
    if not failures:
        return DownloadError(f"{place}: not found", hint=hint)
    reasons = [f"  {display_name(source)}: {error.message}" for source, error in failures]
    head = f"{file.name}: no source provided the file"
    if fault:
        head += f", and the existing file is not the expected one ({fault})"
    return DownloadError("\n".join([head, *reasons]), kept=kept, hint=hint)


def _copy(
    source: FileSource | PackageSource,
    file: ModelFile,
    partial: Partial,
    transport: Transport,
    task: Task,
    cancelled: threading.Event,
) -> None:
    with contextlib.ExitStack() as stack:
        with _source_errors():
            descriptor = stack.enter_context(open_plain_file(local_path(source)))
            size = os.fstat(descriptor).st_size
        if fault := find_size_fault(file, size, transport):
            raise SourceError(fault)
        partial.start_over(Origin(display_name(source)))
        while True:
            with _source_errors():
                chunk = os.read(descriptor, CHUNK)
            if not chunk:
                return
            append_within_limit(partial, chunk, file, transport)
            task.reach(partial.size)
            if cancelled.is_set():
                raise Cancelled


@contextlib.contextmanager
def _source_errors() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise SourceError(getattr(error, "strerror", None) or str(error)) from error


def _find_fault(
    file: ModelFile, size: int, digests: Digests, transport: Transport
) -> SourceError | None:
    if fault := find_size_fault(file, size, transport):
        return SourceError(fault)
    if file.digest is not None and digests[file.digest.algorithm] != file.digest:
        return WrongDigestError(file.digest, digests[file.digest.algorithm])
    return None
