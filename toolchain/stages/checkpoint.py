"""Checkpoint: hold a file strictly against the network before anything is built on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolchain.workspace.digests import file_digest


@dataclass(frozen=True)
class CheckpointRequest:
    """The file to check."""

    path: Path


@dataclass(frozen=True)
class CheckpointResult:
    """`format`: "torch", "torchscript" or "safetensors"; `entries`: of the state dict."""

    path: Path
    format: str
    entries: int
    sha384: str


def check(request: CheckpointRequest) -> CheckpointResult:
    """Read the checkpoint and keep nothing of it.

    Raises CheckpointError naming every kind of fault: missing, unexpected or misshapen keys,
    NaN or infinite values, an unreadable file; UnsafeCheckpointError for a pickle with code.
    """
    from toolchain.network.checkpoint import detect_format, load_state_dict

    state = load_state_dict(request.path)
    return CheckpointResult(
        request.path,
        detect_format(request.path),
        len(state),
        file_digest(request.path, "sha384").value,
    )
