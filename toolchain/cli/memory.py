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
    "failed to serialize proto",  # protobuf gives no other reason
)
_NEARLY = 0.8  # share of the limit above which other errors are attributed to it
_CHAIN_LIMIT = 20
_MIB = 1 << 20
# MiB of addresses without which libraries abort the process instead of raising an error.
_MINIMUM = {"unpack": 0, "verify": 0, "run": 512, "serve": 512, "info": 1024, "download": 1024}
_MINIMUM_OF_STAGES = 2048


def require(command: str) -> None:
    """Check, before anything large is loaded, that the limit of addresses permits the command.

    Raises:
        WorkspaceError: It does not.
    """
    limit = _get_limit()
    needed = _MINIMUM.get(command, _MINIMUM_OF_STAGES)
    if limit is not None and limit < needed * _MIB:
        raise WorkspaceError(
            f"not enough memory: the limit of this process is {limit // _MIB:,} MiB of addresses, "
            f"`matting {command}` needs {needed:,} MiB or more",
            kept="Nothing was changed.",
            hint="Raise the limit (ulimit -v).",
        )


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
    limit = _get_limit()
    if limit is None:
        return False
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        peak = next(int(line.split()[1]) for line in lines if line.startswith("VmPeak"))
    except (OSError, StopIteration, ValueError):
        return False
    return peak * 1024 > _NEARLY * limit


def _get_limit() -> int | None:
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def describe() -> WorkspaceError:
    """Build the error for the user."""
    return WorkspaceError(
        "out of memory: this process could not get the memory that it needs",
        kept="Existing results are unchanged.",
        hint="Free some memory, raise the limit of the process (ulimit -v) or of its container, or "
        "use a smaller --input-size.",
    )
