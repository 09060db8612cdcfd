"""What to build: the one record that every part of the pipeline reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toolchain.catalog.arguments import ExportSettings, export_settings
from toolchain.catalog.builtin import builtin_config
from toolchain.catalog.reader import read_model
from toolchain.catalog.records import Model, ModelFile, Tolerance
from toolchain.definitions.architecture import Architecture, find_architecture
from toolchain.definitions.metrics import Grade
from toolchain.definitions.variants import BUILT_BY_DEFAULT, CONVERTED, INT8
from toolchain.pipeline.weights import Weights, get_layout
from toolchain.stages.convert.request import InputFormat
from toolchain.stages.layers.request import LayersMode
from toolchain.stages.quantize.request import CALIBRATION_FRAMES
from toolchain.workspace.layout import Layout

Stage = Literal["download", "export", "convert", "quantize", "layers", "validate", "report"]
# The order.  The comparison of layers runs only on request, before a failed verdict ends the run.
ORDER: tuple[Stage, ...] = (
    "download",
    "export",
    "convert",
    "quantize",
    "layers",
    "validate",
    "report",
)
SELECTED = ".selected.safetensors"  # suffix of the weights that `--weights-key` chose from a file
STAGES: tuple[Stage, ...] = tuple(stage for stage in ORDER if stage != "layers")


@dataclass(frozen=True)
class Quantization:
    """How FP16-INT8 is made, see `QuantizeRequest`.

    Attributes:
        dataset: Folder of frames to calibrate on, None for generated ones.
        calibration: Largest number of frames to calibrate on.
        ignored: Layers to leave in float beside the architecture's `ignored_layers`.
    """

    dataset: Path | None = None
    calibration: int = CALIBRATION_FRAMES
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class BuildRequest:
    """What to build.

    Attributes:
        model: The model.
        weights: Its weights.
        output: Root of the tree for the results.
        settings: Settings of the network, None for those of model.yml.
        precisions: Precisions to make.  FP16-INT8 is made from FP16 and judged against FP32, so
            these are made too.
        stages: Stages to run; what the others make must exist.
        captures: Folders of real frames to validate on too.
        composites: Number of generated frames to validate on.
        devices: Devices to validate the IRs on, by OpenVINO's names.
        layers: How inner tensors are compared, where that stage runs.
        cache_dir: Cache of downloaded files, None for none.
        attempts: Attempts per source of a file.
        accept: Name of a checkpoint whose changed digest is accepted.
        source: Root of the tree that has the checkpoint, None for `output`.
        offline: Fetch nothing, only verify.
        input_format: What the IRs take.
        quantization: How FP16-INT8 is made.
        require_default: Worst accepted grade at the device's default precision, "" for any.
    """

    model: Model
    weights: Weights
    output: Path
    settings: ExportSettings | None = None
    precisions: tuple[str, ...] = BUILT_BY_DEFAULT
    stages: tuple[Stage, ...] = STAGES
    captures: tuple[Path, ...] = ()
    composites: int = 6
    devices: tuple[str, ...] = ("CPU",)
    layers: LayersMode = "all"
    cache_dir: Path | None = None
    attempts: int = 4
    accept: str | None = None
    source: Path | None = None
    offline: bool = False
    input_format: InputFormat = "f32-nchw"
    quantization: Quantization = Quantization()
    require_default: Grade | Literal[""] = ""

    @property
    def converted(self) -> tuple[str, ...]:
        """The precisions that the convert stage makes."""
        wanted = {INT8, *CONVERTED} if INT8 in self.precisions else {*self.precisions}
        return tuple(precision for precision in CONVERTED if precision in wanted)

    @property
    def architecture(self) -> Architecture:
        """The architecture of the model."""
        return find_architecture(self.model.name)

    @property
    def layout(self) -> Layout:
        """Paths of the results."""
        return get_layout(self.model, self.weights.name, self.output)

    @property
    def weights_file(self) -> ModelFile:
        """The file of the weights: an alternative if only that is in the folder."""
        files = (self.weights.file, *self.weights.alternatives)
        present = (file for file in files if (self.weights_folder / file.name).exists())
        return next(present, self.weights.file)

    @property
    def weights_folder(self) -> Path:
        """Folder of the weights."""
        return get_layout(self.model, self.weights.name, self.source or self.output).folder

    @property
    def checkpoint(self) -> Path:
        """The checkpoint that is exported: the file, or the set of weights chosen from it."""
        name = self.weights_file.name
        return self.weights_folder / (f"{name}{SELECTED}" if self.weights.key else name)

    @property
    def export_settings(self) -> ExportSettings:
        """Settings of the network."""
        return self.settings or export_settings(self.model)

    @property
    def capture_files(self) -> dict[str, Path]:
        """Every file in the captures' folders, by a name that does not depend on their path."""
        found: dict[str, Path] = {}
        for number, folder in enumerate(self.captures):
            found |= list_files(str(number), folder)
        return found


def list_files(label: str, folder: Path) -> dict[str, Path]:
    """Return every file below `folder`, by names that do not depend on its path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {f"{label}:{path.relative_to(folder).as_posix()}": path for path in paths}


def get_tolerances(model: Model) -> tuple[Tolerance, ...]:
    """Return the model's limits, or the built-in model's where its model.yml sets none."""
    return model.tolerances or read_model(builtin_config()).tolerances
