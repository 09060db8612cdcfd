"""Atomic writes: a temporary file beside the target, renamed when it is complete."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toolchain.errors import WorkspaceError

TEMPORARY_SUFFIX = ".part-write"


@contextlib.contextmanager
def os_errors(path: Path, doing: str, *, kept: str = "") -> Iterator[None]:
    """Turn an OSError in this context into a WorkspaceError with a hint.

    Args:
        path: The file or folder, named in the message.
        doing: What was tried, as a verb: "write", "read", "lock", ...
        kept: What was kept safe, for the message.
    """
    try:
        yield
    except OSError as error:
        hint = "Check the path and its permissions."
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "Free some space or choose another folder, and run the same command again."
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            hint = "Choose a folder that you may write to."
        raise WorkspaceError(
            f"{path}: cannot {doing}: {error.strerror or error}",
            kept=kept,
            hint=hint,
        ) from error


@contextlib.contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """Replace a file atomically.

    After an exception, or if the process is killed, `target` is what it was before; `sweep`
    removes the temporary file of a killed process.

    Args:
        target: The file; its folder is created if it does not exist.

    Yields:
        A new empty file in the same folder, which becomes `target` at the end of the context.

    Raises:
        WorkspaceError: The file cannot be written: full disk, permissions.
    """
    with os_errors(target, "write"):
        kept = f"The existing {target.name} is unchanged." if target.exists() else ""
    with os_errors(target, "write", kept=kept):
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
    """Flush `finished` to disk and rename it to `target` on the same file system."""
    with finished.open("rb+") as stream:
        os.fsync(stream.fileno())
    finished.chmod(0o666 & ~_umask())
    finished.replace(target)
    _sync_folder(target.parent)


def publish_pair(first: Path, last: Path, folder: Path) -> None:
    """Publish two files that belong together into `folder`.

    The old `last` is removed first: if the process is killed, no mixed pair remains.

    Args:
        first: The file that `last` refers to.
        last: The file that readers open.
        folder: Where both go.
    """
    (folder / last.name).unlink(missing_ok=True)
    publish(first, folder / first.name)
    publish(last, folder / last.name)


def write_bytes(target: Path, data: bytes) -> None:
    """Replace a file by `data` atomically."""
    with atomic_write(target) as temporary:
        temporary.write_bytes(data)


def write_json(target: Path, value: object) -> None:
    """Replace a file atomically by indented JSON; the order of keys is kept."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    # Bytes of a file name that are not UTF-8 are lone surrogates, which JSON can escape.
    write_bytes(target, (text + "\n").encode(errors="backslashreplace"))


def nan_to_null(value: Any) -> Any:
    """Replace NaN and infinity, which JSON does not have, by None in nested dicts and lists."""
    if isinstance(value, dict):
        return {key: nan_to_null(item) for key, item in value.items()}
    if isinstance(value, list):
        return [nan_to_null(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def sweep(folder: Path) -> None:
    """Remove temporary files of killed processes.  Requires the folder's lock."""
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
    # Windows cannot open a folder; the rename alone has to do there.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
