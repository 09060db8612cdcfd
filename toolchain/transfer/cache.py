"""A cache by content, laid out as Open Model Zoo's downloader has it, so that both share one.

`<cache>/1/<first two hex digits of the sha384>/<the rest>`.  Nothing in it is believed: a file is
verified while it is copied out, and a damaged one is removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from pathlib import Path

from toolchain.catalog.records import Digest
from toolchain.errors import WorkspaceError
from toolchain.workspace.atomic import atomic_write
from toolchain.workspace.digests import CHUNK
from toolchain.workspace.locking import lock

FORMAT = "1"


class _Damaged(Exception):  # noqa: N818 - never leaves this module
    """The entry's bytes are not those of its name."""


def entry_of(cache: Path, digest: Digest | None) -> Path | None:
    """Where the file of this digest lies if it is cached; None for other digests than sha384."""
    if digest is None or digest.algorithm != "sha384":
        return None
    return cache / FORMAT / digest.value[:2] / digest.value[2:]


def take(cache: Path, digest: Digest | None, target: Path) -> bool:
    """Copy the file of this digest to `target`, verified; False if it is not there or damaged.

    A damaged entry is removed, so that the next `keep` repairs it.  Raises WorkspaceError if
    `target` can't be written.
    """
    entry = entry_of(cache, digest)
    if entry is None or digest is None:
        return False
    try:
        source = entry.open("rb", buffering=0)
    except OSError:
        return False
    try:
        with source, atomic_write(target) as temporary, temporary.open("wb", buffering=0) as copy:
            _copy(source, copy, digest)
    except _Damaged:
        _repair(entry, digest)
        return False
    return True


def keep(cache: Path, digest: Digest, path: Path) -> str:
    """Put the verified file `path` into the cache; "" or why that failed, which harms nobody."""
    entry = entry_of(cache, digest)
    if entry is None or entry.is_file():
        return ""
    try:
        with lock(entry):
            if not entry.is_file():
                with (
                    path.open("rb", buffering=0) as source,
                    atomic_write(entry) as temporary,
                    temporary.open("wb", buffering=0) as copy,
                ):
                    _copy(source, copy, digest)
    except (WorkspaceError, OSError) as error:
        return str(error)
    except _Damaged:
        return f"{path} changed while it was copied"
    return ""


def _repair(entry: Path, digest: Digest) -> None:
    """Remove the entry, unless another process has put a good one there meanwhile."""
    with contextlib.suppress(WorkspaceError, OSError), lock(entry):
        try:
            with entry.open("rb", buffering=0) as stream:
                _copy(stream, None, digest)
        except _Damaged:
            entry.unlink()


def _copy(source: io.FileIO, target: io.FileIO | None, digest: Digest) -> None:
    """Copy everything.  Raises _Damaged if it has another digest, OSError only for `target`."""
    hasher = hashlib.sha384()
    while piece := _read(source):
        hasher.update(piece)
        rest = memoryview(piece)
        while target is not None and rest:
            rest = rest[target.write(rest) or 0 :]
    if hasher.hexdigest() != digest.value:
        raise _Damaged


def _read(source: io.FileIO) -> bytes:
    try:
        return source.read(CHUNK)
    except OSError as error:
        raise _Damaged(str(error)) from error
