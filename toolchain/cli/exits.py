"""How every command ends: an exit code and messages on stderr, without a traceback."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO, cast

from toolchain.cli import memory
from toolchain.errors import ToolchainError
from toolchain.printable import PrintableStream, printable_lines

FAILED, INTERRUPTED = 1, 130


def run(main: Callable[[], int]) -> int:
    """Call `main` and turn errors into messages on stderr and an exit code.

    A closed stdout ends the command without a message. Control characters, and characters that the
    console cannot show, are printed as escapes.

    Args:
        main: The command.

    Returns:
        What `main` returns. For a ToolchainError, its own code; for an interrupt, 130; for an
        error of the operating system, such as a full disk behind stdout, 1; for a SystemExit, as
        argparse raises it, its code.
    """
    try:
        _reserve_streams()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        with _printable_streams():
            return _run(main)
    except KeyboardInterrupt as ending:  # at any other moment than within `main`
        return _report(ending)


def _run(main: Callable[[], int]) -> int:
    try:
        try:
            return main()
        finally:
            sys.stdout.flush()
    except (ToolchainError, KeyboardInterrupt, OSError, SystemExit) as ending:
        return _report(ending)
    except Exception as error:
        if not (memory.is_out_of_memory(error) or memory.is_limit_reached()):
            raise
        _print(*memory.describe().lines())
        return FAILED


def _reserve_streams() -> None:
    """Open the null device in place of a closed stream, so that no file gets its number."""
    with contextlib.suppress(OSError):
        while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 - stderr
            pass
        os.close(number)


@contextlib.contextmanager
def _printable_streams() -> Iterator[None]:
    before = sys.stdout, sys.stderr
    with Path(os.devnull).open("w", encoding="utf-8") as null:
        streams = sys.stdout, sys.stderr or null  # messages to a closed stderr are dropped
        sys.stdout, sys.stderr = (cast("TextIO", PrintableStream(stream)) for stream in streams)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


def _report(ending: ToolchainError | KeyboardInterrupt | OSError | SystemExit) -> int:
    if isinstance(ending, ToolchainError):
        failed = ending.exit_code == FAILED  # not for an invalid argument
        if memory.is_out_of_memory(ending) or (failed and memory.is_limit_reached()):
            _print(ending.message, *memory.describe().lines())
        else:
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
        sys.stderr.write("".join(f"{printable_lines(line)}\n" for line in lines))
        sys.stderr.flush()


def _drop_stdout() -> None:
    """Send stdout to the null device, so that the flush at exit does not fail again."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
