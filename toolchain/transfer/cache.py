"""A cache of files by digest, with the layout of Open Model Zoo's downloader.

A file is `<cache>/1/<first two hex digits of its sha384>/<the rest>`.  Every file is verified
while it is copied from the cache; a damaged one is removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

from toolchain.catalog.records import Digest
from toolchain.errors import WorkspaceError
from toolchain.workspace.atomic import atomic_write
from toolchain.workspace.digests import CHUNK
from toolchain.workspace.locking import lock
from toolchain.workspace.plain_file import check_plain_file, open_plain_file

FORMAT = "1"


class _DamagedError(Exception):
    """The content does not match the digest."""


def entry_path(cache: Path, digest: Digest | None) -> Path | None:
    """Return the path of a cached file, present or not; None unless the digest is a sha384."""
    if digest is None or digest.algorithm != "sha384":
        return None
    return cache / FORMAT / digest.value[:2] / digest.value[2:]


def load(cache: Path, digest: Digest | None, target: Path) -> bool:
    """Copy a file from the cache to `target` and verify it.

    A damaged entry is removed, so that the next `store` replaces it.

    Returns:
        Whether the file was in the cache and undamaged.

    Raises:
        WorkspaceError: `target` cannot be written.
    """
    entry = entry_path(cache, digest)
    if entry is None or digest is None:
        return False
    try:
        check_plain_file(entry)
    except OSError:
        return False
    try:
        with atomic_write(target) as temporary, temporary.open("wb", buffering=0) as copy:
            _copy(entry, copy, digest)
    except _DamagedError:
        _remove_damaged(entry, digest)
        return False
    return True


def store(cache: Path, digest: Digest, path: Path) -> str:
    """Copy the verified file `path` into the cache.

    Returns:
        "", or why it was not stored; this is not an error of the download.
    """
    entry = entry_path(cache, digest)
    if entry is None or entry.is_file():
        return ""
    try:
        with lock(entry):
            if not entry.is_file():
                with atomic_write(entry) as temporary, temporary.open("wb", buffering=0) as copy:
                    _copy(path, copy, digest)
    except (WorkspaceError, OSError) as error:
        return str(error)
    except _DamagedError:
        return f"{path} changed while it was copied"
    return ""


def _remove_damaged(entry: Path, digest: Digest) -> None:
    """Remove the entry, unless another process has replaced it by an undamaged one."""
    with contextlib.suppress(WorkspaceError, OSError), lock(entry):
        try:
            _copy(entry, None, digest)
        except _DamagedError:
            entry.unlink()


def _copy(source: Path, target: io.FileIO | None, digest: Digest) -> None:
    """Copy and verify.  Raises _DamagedError for another content, OSError only for `target`."""
    hasher = hashlib.sha384()
    with contextlib.ExitStack() as stack:
        with _read_errors():
            descriptor = stack.enter_context(open_plain_file(source))
        while True:
            with _read_errors():
                chunk = os.read(descriptor, CHUNK)
            if not chunk:
                break
            hasher.update(chunk)
            rest = memoryview(chunk)
            while target is not None and rest:
                rest = rest[target.write(rest) or 0 :]
    if hasher.hexdigest() != digest.value:
        raise _DamagedError


@contextlib.contextmanager
def _read_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _DamagedError(str(error)) from error
