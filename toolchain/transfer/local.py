"""Files on this machine as sources: `file:` and package data."""

from __future__ import annotations

import io
import threading
from pathlib import Path

from toolchain.catalog.builtin import data_file
from toolchain.catalog.records import FileSource, PackageSource
from toolchain.errors import CatalogError, SourceError
from toolchain.progress import Task
from toolchain.transfer.http import Cancelled
from toolchain.transfer.partial import Origin, Partial
from toolchain.transfer.transport import shown
from toolchain.workspace.digests import CHUNK


def path_of(source: FileSource | PackageSource) -> Path:
    """Where the source lies; it need not be there.  SourceError for a path out of the package."""
    if isinstance(source, FileSource):
        return source.path
    try:
        return data_file(source.path)
    except CatalogError as error:
        raise SourceError(error.message) from error


def fetch_local(
    source: FileSource | PackageSource, partial: Partial, task: Task, cancelled: threading.Event
) -> None:
    """Copy all of `source` into `partial`.  Raises SourceError if it can't be read."""
    path = path_of(source)
    try:
        stream = path.open("rb", buffering=0)
    except OSError as error:
        raise SourceError(f"{error.strerror or error}") from error
    with stream:
        partial.start_over(Origin(shown(source)))
        while piece := _read(stream):
            partial.append(piece)
            task.reach(partial.size)
            if cancelled.is_set():
                raise Cancelled


def _read(stream: io.FileIO) -> bytes:
    try:
        return stream.read(CHUNK)
    except OSError as error:
        raise SourceError(f"{error.strerror or error}") from error
