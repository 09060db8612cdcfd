"""What to build: the one record that every part of the pipeline reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toolchain.catalog.arguments import ExportSettings, export_settings
from toolchain.catalog.builtin import builtin_config
from toolchain.catalog.reader import read_model
from toolchain.catalog.records import Model, Tolerance
from toolchain.definitions.architecture import Architecture, find_architecture
from toolchain.pipeline.weights import Weights, get_layout
from toolchain.stages.convert.request import FloatPrecision, InputFormat
from toolchain.stages.layers import How
from toolchain.stages.quantize import FRAMES
from toolchain.workspace.layout import Layout

Stage = Literal["download", "export", "convert", "quantize", "layers", "validate", "report"]
Form = Literal["FP32", "FP16", "FP16-INT8"]
# The order.  The comparison of layers runs only where it is asked for, before a verdict ends all.
ORDER: tuple[Stage, ...] = (
    "download",
    "export",
    "convert",
    "quantize",
    "layers",
    "validate",
    "report",
)
STAGES: tuple[Stage, ...] = tuple(stage for stage in ORDER if stage != "layers")
PRECISIONS: tuple[FloatPrecision, ...] = ("FP32", "FP16")  # those of the convert stage
INT8: Form = "FP16-INT8"
KNOWN: tuple[Form, ...] = (*PRECISIONS, INT8)


@dataclass(frozen=True)
class Quantization:
    """How FP16-INT8 is made: see `QuantizeRequest`.  `spared`: beside the
    architecture's `ignored_layers`."""

    dataset: Path | None = None
    calibration: int = FRAMES
    spared: tuple[str, ...] = ()


@dataclass(frozen=True)
class BuildRequest:
    """What to build from `weights` of `model` below `output`.

    `settings`: instead of model.yml's export arguments.  `stages`: those to run; what the others
    make must be there.  `captures`: folders of real frames to validate on as well.
    `devices`: OpenVINO's names of those that the IRs are validated on.
    `layers`: how inner tensors are compared, where that stage is among them.
    `accept`: the name of a checkpoint whose changed digest is accepted.  `source`: the root of
    the tree in which the checkpoint lies, if not `output`.  `offline`: fetch nothing, only verify.
    `input_format`: what the IRs take.  FP16-INT8 among the `precisions` is made from FP16 and
    held against FP32, so these are made as well.
    """

    model: Model
    weights: Weights
    output: Path
    settings: ExportSettings | None = None
    precisions: tuple[Form, ...] = PRECISIONS
    stages: tuple[Stage, ...] = STAGES
    captures: tuple[Path, ...] = ()
    composites: int = 6
    devices: tuple[str, ...] = ("CPU",)
    layers: How = "all"
    cache_dir: Path | None = None
    attempts: int = 4
    accept: str | None = None
    source: Path | None = None
    offline: bool = False
    input_format: InputFormat = "f32-nchw"
    quantization: Quantization = Quantization()

    @property
    def converted(self) -> tuple[FloatPrecision, ...]:
        """The precisions that the convert stage makes."""
        if INT8 in self.precisions:
            return PRECISIONS
        return tuple(precision for precision in PRECISIONS if precision in self.precisions)

    @property
    def architecture(self) -> Architecture:
        """The architecture of the model."""
        return find_architecture(self.model.name)

    @property
    def layout(self) -> Layout:
        """Where everything lies."""
        return get_layout(self.model, self.weights.name, self.output)

    @property
    def checkpoint(self) -> Path:
        """The checkpoint in its folder."""
        root = self.source or self.output
        return get_layout(self.model, self.weights.name, root).folder / self.weights.file.name

    @property
    def export_settings(self) -> ExportSettings:
        """The settings in force."""
        return self.settings or export_settings(self.model)

    @property
    def pictures(self) -> dict[str, Path]:
        """Every file below the captures' folders, by a name that does not depend on the place."""
        found: dict[str, Path] = {}
        for number, folder in enumerate(self.captures):
            found |= pictures_below(str(number), folder)
        return found


def pictures_below(label: str, folder: Path) -> dict[str, Path]:
    """Every file below `folder`, by names that do not tell where it lies."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {f"{label}:{path.relative_to(folder).as_posix()}": path for path in paths}


def tolerances_of(model: Model) -> tuple[Tolerance, ...]:
    """The model's limits, or the built-in model's where its model.yml sets none."""
    return model.tolerances or read_model(builtin_config()).tolerances
