"""Write beside, then rename: a file is there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from toolchain.errors import WorkspaceError

TEMPORARY_SUFFIX = ".part-write"


@contextlib.contextmanager
def os_errors(path: Path, doing: str) -> Iterator[None]:
    """Turn the operating system's errors about `path` into one sentence and a way out."""
    try:
        yield
    except OSError as error:
        hint = "Check the path and its permissions."
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "Free some space, or choose another place, and run the same command again."
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            hint = "Choose a folder that you may write to."
        raise WorkspaceError(
            f"{path}: can't {doing}: {error.strerror or error}",
            kept="What was there before is unchanged.",
            hint=hint,
        ) from error


@contextlib.contextmanager
def writing(target: Path) -> Iterator[Path]:
    """Give a new empty file beside `target`; it becomes `target` when the block ends well.

    The folder is made if it is missing.  After an exception, or a kill at any moment, `target`
    is what it was; a left-over temporary file is swept by `sweep`.
    Raises WorkspaceError for a full disk and the like.
    """
    with os_errors(target, "write"):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{target.name}.", suffix=TEMPORARY_SUFFIX, dir=target.parent
        )
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            publish(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


def publish(finished: Path, target: Path) -> None:
    """Make `finished` durable and rename it to `target` (same file system)."""
    with finished.open("rb+") as stream:
        os.fsync(stream.fileno())
    finished.chmod(0o666 & ~_umask())
    finished.replace(target)
    _sync_folder(target.parent)


def publish_pair(first: Path, last: Path, folder: Path) -> None:
    """Publish two files into `folder` that are good only together, `last` being the one read.

    The old `last` goes first: a kill in between leaves no pair rather than a mixed one.
    """
    (folder / last.name).unlink(missing_ok=True)
    publish(first, folder / first.name)
    publish(last, folder / last.name)


def write_bytes(target: Path, data: bytes) -> None:
    """Replace `target` by `data`, whole or not at all."""
    with writing(target) as temporary:
        temporary.write_bytes(data)


def write_json(target: Path, value: object) -> None:
    """Replace `target` by `value` as indented JSON with a final newline; key order is kept."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(target, (text + "\n").encode())


def sweep(folder: Path) -> None:
    """Remove what killed writers left in `folder`.  Call it under the folder's lock."""
    for left_over in list(folder.rglob(f".*{TEMPORARY_SUFFIX}")):
        if left_over.is_dir():
            shutil.rmtree(left_over, ignore_errors=True)
        else:
            left_over.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    # Windows can't open a folder; there the rename itself is all that can be had.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
