"""Open plain files only: a device, a pipe or a folder is refused at once, without waiting."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@contextlib.contextmanager
def open_plain_file(path: Path) -> Iterator[int]:
    """Open `path` for reading; yields its file descriptor.

    Raises:
        OSError: The file cannot be opened, or is not a plain file.
    """
    check_plain_file(path)  # opening a device may already have an effect
    descriptor = os.open(path, _FLAGS)
    try:
        _check(os.fstat(descriptor))
        yield descriptor
    finally:
        os.close(descriptor)


def check_plain_file(path: Path) -> None:
    """Check, without opening it, that `path` is a plain file or a link to one.

    Raises:
        OSError: The file does not exist, or is not a plain file.
    """
    _check(path.stat())


def _check(status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    kind = next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "something else")
    raise OSError(errno.EINVAL, f"not a plain file, but {kind}")
