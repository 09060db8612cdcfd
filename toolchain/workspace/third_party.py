"""Control over third-party libraries: no output while they work, no telemetry on import."""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import sys
import warnings
from collections.abc import Iterator

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
TELEMETRY = "openvino_telemetry"


@contextlib.contextmanager
def suppress_output() -> Iterator[None]:
    """Suppress stdout, stderr, warnings and log messages below ERROR in this context."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)


@contextlib.contextmanager
def without_telemetry() -> Iterator[None]:
    """Hide `openvino_telemetry` from imports in this context, and restore it afterwards.

    OpenVINO (through its converter) and NNCF send usage data with that package and store an
    identifier in the home folder.  They work without it if it cannot be imported.
    The host program's own modules stay as they are.
    """
    hidden = {
        name: sys.modules.pop(name)
        for name in list(sys.modules)
        if name.partition(".")[0] == TELEMETRY
    }
    sys.modules[TELEMETRY] = None  # type: ignore[assignment]  # makes `import` raise ImportError
    try:
        yield
    finally:
        del sys.modules[TELEMETRY]
        sys.modules.update(hidden)


def reuse_freed_memory() -> None:
    """Let the C library keep freed large buffers for the next ones, where it is glibc.

    By default each buffer of a frame is mapped and unmapped anew, and the kernel clears its pages
    every time: a third of the time of a validation.  The process's peak memory stays the same, but
    it is only returned at the end.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 1 << 30)
        mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
