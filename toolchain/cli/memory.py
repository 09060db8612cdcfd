"""Recognize errors whose cause is that there is no memory left."""

from __future__ import annotations

from pathlib import Path

from toolchain.errors import WorkspaceError

_WORDS = (
    "allocate memory",  # of the system, PyTorch and shared libraries
    "bad_alloc",
    "bad allocation",
    "out of memory",
    "failed to map segment",
    "start new thread",
    "resource temporarily unavailable",  # of OpenVINO's and OpenMP's threads
    "failed to serialize proto",  # protobuf says no more
)
_NEARLY = 0.8  # share of the limit above which other errors are attributed to it
_CHAIN_LIMIT = 20


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error, or a cause of it, is that memory was not available."""
    at: BaseException | None = error
    for _ in range(_CHAIN_LIMIT):
        if at is None:
            break
        text = str(at).lower()
        if isinstance(at, MemoryError) or any(words in text for words in _WORDS):
            return True
        at = at.__cause__ or at.__context__
    return False


def is_limit_reached() -> bool:
    """Whether this process came near its limit of addresses, if it has one."""
    try:
        import resource  # not on Windows

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return False
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        peak = next(int(line.split()[1]) for line in lines if line.startswith("VmPeak"))
    except (ImportError, OSError, StopIteration, ValueError):
        return False
    return peak * 1024 > _NEARLY * limit


def describe() -> WorkspaceError:
    """Build the error for the user."""
    return WorkspaceError(
        "out of memory: this process could not get the memory that it needs",
        kept="Existing results are unchanged.",
        hint="Free some memory, raise the limit of the process (ulimit -v) or of its container, or "
        "use a smaller --input-size.",
    )
