"""Which checkpoint to check, and the result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CheckpointRequest:
    """A file to check.

    Attributes:
        path: The file.
        key: Name of the mapping in it to take; "" for the only one that fits.
        selected: File to write these weights to, as safetensors; None: they are not written.
    """

    path: Path
    key: str = ""
    selected: Path | None = None


@dataclass(frozen=True)
class CheckpointResult:
    """A file that holds the weights of this network.

    Attributes:
        path: The file.
        format: "torch", "torchscript", "safetensors", "numpy" or "pickle".
        entries: Number of entries of the state dict.
        found: Where in the file the weights are, and what is changed when they are read.
        sha384: Digest of the file.
    """

    path: Path
    format: str
    entries: int
    found: str
    sha384: str
