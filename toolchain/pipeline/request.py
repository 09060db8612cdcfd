"""What to build: the one record that every part of the pipeline reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toolchain.catalog.arguments import ExportSettings, export_settings
from toolchain.catalog.records import Model
from toolchain.pipeline.weights import Weights, layout_of
from toolchain.stages.convert import InputFormat, Kept, Precision
from toolchain.workspace.layout import Layout

Stage = Literal["download", "export", "convert", "validate"]
STAGES: tuple[Stage, ...] = ("download", "export", "convert", "validate")
PRECISIONS: tuple[Precision, ...] = ("FP32", "FP16")
# What stays float32 in FP16: 4 % of the weights, yet nearly all of what rounding does to a matte.
# Rounded one by one, the decoder's last convolution moves alpha 50 to 300 times as much as any
# layer of the backbone; with these kept, random weights lose 0.003 of MAD x1000 instead of 0.3.
KEPT = Kept(below=2_000, names=("decoder.conv2", "decoder.conv3", "decoder.conv4", "refiner."))


@dataclass(frozen=True)
class BuildRequest:
    """What to build from `weights` of `model` below `output`.

    `settings`: instead of model.yml's export arguments.  `stages`: those to run; what the others
    make must be there.  `captures`: folders of real frames to validate on as well.
    `accept`: the name of a checkpoint whose changed digest is accepted.  `source`: the root of
    the tree in which the checkpoint lies, if not `output`.  `offline`: fetch nothing, only verify.
    `input_format`: what the IRs take.
    """

    model: Model
    weights: Weights
    output: Path
    settings: ExportSettings | None = None
    precisions: tuple[Precision, ...] = PRECISIONS
    stages: tuple[Stage, ...] = STAGES
    captures: tuple[Path, ...] = ()
    composites: int = 6
    cache_dir: Path | None = None
    attempts: int = 4
    accept: str | None = None
    source: Path | None = None
    offline: bool = False
    input_format: InputFormat = "f32-nchw"

    @property
    def layout(self) -> Layout:
        """Where everything lies."""
        return layout_of(self.model, self.weights.name, self.output)

    @property
    def checkpoint(self) -> Path:
        """The checkpoint in its folder."""
        root = self.source or self.output
        return layout_of(self.model, self.weights.name, root).folder / self.weights.file.name

    @property
    def export_settings(self) -> ExportSettings:
        """The settings in force."""
        return self.settings or export_settings(self.model)
