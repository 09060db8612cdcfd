"""Locks between processes, as files beside what they protect."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from toolchain.errors import BusyError
from toolchain.workspace.atomic import os_errors

DEFAULT_WAIT = 600.0


@contextlib.contextmanager
def locked(target: Path, wait: float = DEFAULT_WAIT) -> Iterator[None]:
    """Hold the lock of `target` (a file or a folder, which need not exist), waiting `wait` seconds.

    The lock file lies beside the target as `.<name>.lock`; the operating system releases it
    when a process dies.  Raises BusyError when the time is over.
    """
    import filelock  # only real work pays for this import

    with os_errors(target, "lock"):
        target.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(target.parent / f".{target.name}.lock", timeout=wait)
    with os_errors(target, "lock"):
        try:
            lock.acquire()
        except filelock.Timeout as error:  # an OSError too, so it must be caught in here
            raise BusyError(
                f"{target}: another process has worked on it for over {wait:.0f} s",
                kept="Nothing was changed.",
                hint="Wait for it, or stop it, and run the same command again.",
            ) from error
    try:
        yield
    finally:
        lock.release()
