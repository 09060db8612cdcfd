"""Locks between processes: lock files beside what they protect."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import filelock

from toolchain.errors import BusyError
from toolchain.workspace.atomic import os_errors

DEFAULT_WAIT = 600.0


@contextlib.contextmanager
def lock(target: Path, wait: float = DEFAULT_WAIT) -> Iterator[None]:
    """Hold the lock of a file or folder.

    The lock file is `.<name>.lock` beside the target.  The operating system releases it when the
    process ends, however it ends.

    Args:
        target: What the lock protects; need not exist.  Its parent folder is created.
        wait: Seconds to wait for another process that holds the lock.

    Raises:
        BusyError: Another process still holds the lock.
        WorkspaceError: The folder or the lock file cannot be created.
    """
    with os_errors(target, "lock"):
        target.parent.mkdir(parents=True, exist_ok=True)
    file = filelock.FileLock(target.parent / f".{target.name}.lock", timeout=wait)
    with os_errors(target, "lock"):
        try:
            file.acquire()
        except filelock.Timeout as error:  # an OSError too, so it must be caught in here
            raise BusyError(
                f"{target}: locked by another process for over {wait:.0f} s",
                kept=f"{target} was not changed.",
                hint="Wait until that process ends, or stop it, and run the same command again.",
            ) from error
    try:
        yield
    finally:
        file.release()
