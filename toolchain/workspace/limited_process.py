"""Work on untrusted data in a process of its own, with limits on memory and time."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toolchain import errors
from toolchain.errors import ToolchainError
from toolchain.printable import printable

PROGRAM = Path(__file__).resolve().parents[2]
MESSAGE_LENGTH, REASON_LENGTH = 1000, 200  # characters


class LimitExceeded(Exception):  # noqa: N818 - handled by the caller
    """The process needed more than its limits, or ended without an answer."""


def run_limited(module: str, work: object, *, memory: int, seconds: float) -> Any:
    """Run the `main` of a module in a new process.

    Args:
        module: Name of the module, which calls `answer`.
        work: What it works on, as JSON.
        memory: Limit on its addresses in bytes, where the system has one; 0 for none.
        seconds: Limit on its time.

    Returns:
        Its answer, from JSON.

    Raises:
        LimitExceeded: It needed more, or failed in an unexpected way.
        ToolchainError: The error that the work raised.
    """
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", module, str(memory)],
            cwd=PROGRAM,  # Python would import modules from the user's folder
            check=False,
            input=json.dumps(work).encode(),
            capture_output=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise LimitExceeded(f"not finished within {seconds:.0f} s") from error
    try:
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError) as error:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or [""])[-1]
        limit = f" under a limit of {memory / 2**30:.1f} GiB of memory" if memory else ""
        reason = printable(last, REASON_LENGTH)
        raise LimitExceeded(f"exit code {done.returncode}{limit}: {reason}") from error
    if "limit" in found:
        raise LimitExceeded(f"it needs more than {memory / 2**30:.1f} GiB of memory")
    if "error" in found:
        kind: type[ToolchainError] = getattr(errors, found["error"])
        raise kind(found["message"], kept=found["kept"], hint=found["hint"])
    return found["answer"]


def answer(function: Callable[[Any], object]) -> None:
    """Be the process: limit the memory, call `function` with the work, print its answer."""
    out = sys.stdout
    size = int(sys.argv[1])
    try:
        with contextlib.redirect_stdout(sys.stderr):
            work = json.load(sys.stdin)
            _limit_memory(size)
            found: dict[str, object] = {"answer": function(work)}
    except MemoryError:
        found = {"limit": size}
    except ToolchainError as error:
        found = {
            "error": type(error).__name__,
            "message": printable(error.message, MESSAGE_LENGTH),
            "kept": error.kept,
            "hint": error.hint,
        }
    print(json.dumps(found), file=out, flush=True)


def _limit_memory(size: int) -> None:
    try:
        import resource  # not on Windows
    except ImportError:
        return
    with contextlib.suppress(OSError, ValueError):
        if size:
            resource.setrlimit(resource.RLIMIT_AS, (size, size))
