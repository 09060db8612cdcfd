"""How every command ends: an exit code and messages on stderr, without a traceback."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable

from toolchain.errors import ToolchainError

FAILED, INTERRUPTED = 1, 130


def run(main: Callable[[], int]) -> int:
    """Call `main` and turn errors into messages on stderr and an exit code.

    A closed stdout ends the command without a message. Characters that the console cannot show
    are printed as escapes.

    Args:
        main: The command.

    Returns:
        What `main` returns. For a ToolchainError, its own code; for an interrupt, 130; for an
        error of the operating system, such as a full disk behind stdout, 1; for a SystemExit, as
        argparse raises it, its code.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            return main()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except (ToolchainError, KeyboardInterrupt, OSError, SystemExit) as ending:
        return _report(ending)


def _report(ending: ToolchainError | KeyboardInterrupt | OSError | SystemExit) -> int:
    if isinstance(ending, ToolchainError):
        _print(*ending.lines())
        return ending.exit_code
    if isinstance(ending, KeyboardInterrupt):
        _print("Interrupted.")
        return INTERRUPTED
    if isinstance(ending, SystemExit):
        if isinstance(ending.code, str):
            _print(ending.code)
            return FAILED
        return int(ending.code or 0)
    _drop_stdout()
    if not isinstance(ending, BrokenPipeError):
        where = f"{ending.filename}: " if ending.filename else ""
        _print(f"{where}{ending.strerror or ending}")
    return FAILED


def _print(*lines: str) -> None:
    with contextlib.suppress(OSError, AttributeError):  # stderr may be closed too
        sys.stderr.write("".join(f"{line}\n" for line in lines))
        sys.stderr.flush()


def _drop_stdout() -> None:
    """Send stdout to the null device, so that the flush at exit does not fail again."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
