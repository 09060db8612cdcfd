"""How every command ends: an exit code, sentences on stderr, and never a traceback for a user."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable

from toolchain.errors import ToolchainError

FAILED, INTERRUPTED = 1, 130


def run(main: Callable[[], int]) -> int:
    """Call `main` and give the exit code that fits how it ended.

    A ToolchainError prints its sentences to stderr and gives its own code; Ctrl-C gives 130; a
    reader of stdout that went away gives 1 in silence; an error of the operating system, such as
    a full disk behind stdout, gives 1 and one line.  `SystemExit`, as argparse raises, becomes
    its code.  Characters that the console can't show are printed as escapes.
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
        return _ended(ending)


def _ended(ending: ToolchainError | KeyboardInterrupt | OSError | SystemExit) -> int:
    if isinstance(ending, ToolchainError):
        _say(*ending.lines())
        return ending.exit_code
    if isinstance(ending, KeyboardInterrupt):
        _say("Interrupted.")
        return INTERRUPTED
    if isinstance(ending, SystemExit):
        if isinstance(ending.code, str):
            _say(ending.code)
            return FAILED
        return int(ending.code or 0)
    _drop_stdout()
    if not isinstance(ending, BrokenPipeError):
        where = f"{ending.filename}: " if ending.filename else ""
        _say(f"{where}{ending.strerror or ending}")
    return FAILED


def _say(*lines: str) -> None:
    # Where stderr is gone as well there is nobody left to tell.
    with contextlib.suppress(OSError, AttributeError):
        sys.stderr.write("".join(f"{line}\n" for line in lines))
        sys.stderr.flush()


def _drop_stdout() -> None:
    """Let the interpreter's own flush at the end go nowhere instead of failing once more."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
