"""Request and result of a cross-check."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CrossCheckRequest:
    """What to compare.

    Attributes:
        checkpoint: The checkpoint.
        anchor: The published ONNX, already verified against its published digest.
    """

    checkpoint: Path
    anchor: Path


@dataclass(frozen=True)
class CompareRequest:
    """Two checkpoints to compare.

    Attributes:
        checkpoint: The checkpoint.
        anchor: The same weights in a file that was verified against its published digest.
    """

    checkpoint: Path
    anchor: Path


@dataclass(frozen=True)
class CrossCheckResult:
    """Result of a successful comparison.

    Attributes:
        convolutions: Number of convolutions that were compared.
        worst: Largest difference of a convolution, relative to its largest weight or bias.
    """

    convolutions: int
    worst: float
