"""What to export, and the record of the result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolchain.catalog.arguments import ExportSettings

OPSET = 18


@dataclass(frozen=True)
class ExportRequest:
    """One ONNX file to write.

    Attributes:
        checkpoint: File of the weights.
        onnx: Path of the ONNX file.
        settings: Settings of the network.
        facts: Pairs for the metadata of the file: source digest, versions, license, weights.
    """

    checkpoint: Path
    onnx: Path
    settings: ExportSettings
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ExportResult:
    """The ONNX file that was written.

    Attributes:
        onnx: Its path.
        size: Its size in bytes.
        nodes: Number of nodes of the graph.
        opset: Version of the operator set.
    """

    onnx: Path
    size: int
    nodes: int
    opset: int = OPSET
