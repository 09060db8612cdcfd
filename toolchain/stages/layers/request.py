"""Records of the layers stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toolchain.catalog.arguments import ExportSettings
from toolchain.catalog.records import Tolerance
from toolchain.definitions.variants import Variant

LayersMode = Literal["all", "bisect"]
LAYERS_MODES: tuple[LayersMode, ...] = ("all", "bisect")
MEMORY = 256 * 2**20


@dataclass(frozen=True)
class LayersRequest:
    """What to compare.

    Attributes:
        name: Name of the results.
        checkpoint: File of the weights.
        onnx: The exported ONNX.
        irs: Pairs of precision and xml.
        settings: Settings of the network.
        tolerances: Limits by variant; `layers_max_rel` counts.  A variant without it is measured,
            but nothing in it is over its limit.
        target: layers.json.
        facts: Pairs that every file of the build records.
        mode: "all" compares every tensor; "bisect" follows a fault back from the outputs and reads
            only the tensors that it needs.
        seed: Seed of the generated frame that is used without `captures`.
        captures: Folders of real frames; the first frame of the first one is used.
        memory: Bytes that a batch of tensors may take, per variant.
    """

    name: str
    checkpoint: Path
    onnx: Path
    irs: tuple[tuple[str, Path], ...]
    settings: ExportSettings
    tolerances: tuple[Tolerance, ...]
    target: Path
    facts: tuple[tuple[str, str], ...] = ()
    mode: LayersMode = "all"
    seed: int = 2026
    captures: tuple[Path, ...] = ()
    memory: int = MEMORY


@dataclass(frozen=True)
class LayersResult:
    """Result of the stage.

    Attributes:
        first: Sentence on the first tensor over its limit, by variant.
        target: layers.json.
    """

    first: Mapping[Variant, str]
    target: Path

    @property
    def passed(self) -> bool:
        """Whether no tensor of any variant is over its limit."""
        return not self.first
