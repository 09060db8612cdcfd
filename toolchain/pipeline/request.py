"""What to build: the one record that every part of the pipeline reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toolchain.catalog.arguments import ExportSettings, export_settings
from toolchain.catalog.builtin import builtin_config
from toolchain.catalog.reader import read_model
from toolchain.catalog.records import Model, Tolerance
from toolchain.pipeline.weights import Weights, get_layout
from toolchain.stages.convert import InputFormat, Kept, Precision
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
PRECISIONS: tuple[Precision, ...] = ("FP32", "FP16")  # those of the convert stage
INT8: Form = "FP16-INT8"
KNOWN: tuple[Form, ...] = (*PRECISIONS, INT8)
# What stays float32 in FP16: 4 % of the weights, yet nearly all of what rounding does to a matte.
# Rounded one by one, the decoder's last convolution moves alpha 50 to 300 times as much as any
# layer of the backbone; with these kept, random weights lose 0.003 of MAD x1000 instead of 0.3.
KEPT = Kept(below=2_000, names=("decoder.conv2", "decoder.conv3", "decoder.conv4", "refiner."))
# What stays float in FP16-INT8, beside the resizes, index arithmetic and gathers.  Quantised one
# by one, these three move the foreground most: by 3.2, 1.7 and 0.15 thousandths on average.
SPARED = ("decoder.conv4", "decoder.conv3", "refiner.conv4")


@dataclass(frozen=True)
class Quantization:
    """How FP16-INT8 is made: see `QuantizeRequest`.  `spared`: beside `SPARED`."""

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
    def converted(self) -> tuple[Precision, ...]:
        """The precisions that the convert stage makes."""
        if INT8 in self.precisions:
            return PRECISIONS
        return tuple(precision for precision in PRECISIONS if precision in self.precisions)

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
