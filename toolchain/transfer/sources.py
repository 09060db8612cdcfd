"""One source of any kind into a partial file."""

from __future__ import annotations

import threading

from toolchain.catalog.records import Digest, GoogleDriveSource, HttpSource, ModelFile, Source
from toolchain.errors import SourceError
from toolchain.progress import Task
from toolchain.transfer.digesting import Digests
from toolchain.transfer.google_drive import fetch_google_drive
from toolchain.transfer.http import fetch_http
from toolchain.transfer.local import fetch_local
from toolchain.transfer.partial import Partial
from toolchain.transfer.transport import Transport


class WrongDigestError(SourceError):
    """A source gave a whole file, but another one."""

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
    """Have all of `file` in `partial`, held against its size and digest; returns its digests.

    A part that was gone on from and does not fit is fetched once more from the beginning.
    Raises SourceError when the source can't give this very file.
    """
    while True:
        _fetch(source, file, partial, transport, task, cancelled)
        digests = partial.digests()
        fault = _fault(file, partial.size, digests)
        if fault is None:
            return digests
        resumed = partial.resumed
        partial.discard()
        if not resumed:
            raise fault
        task.reach(0)


def _fetch(
    source: Source,
    file: ModelFile,
    partial: Partial,
    transport: Transport,
    task: Task,
    cancelled: threading.Event,
) -> None:
    if isinstance(source, HttpSource):
        fetch_http(source, file, partial, transport, task, cancelled)
    elif isinstance(source, GoogleDriveSource):
        fetch_google_drive(source, file, partial, transport, task, cancelled)
    else:
        fetch_local(source, partial, task, cancelled)


def _fault(file: ModelFile, size: int, digests: Digests) -> SourceError | None:
    if file.size is not None and size != file.size:
        return SourceError(f"wrong size: expected {file.size:,} bytes, found {size:,}")
    if file.digest is not None and digests[file.digest.algorithm] != file.digest:
        return WrongDigestError(file.digest, digests[file.digest.algorithm])
    return None
