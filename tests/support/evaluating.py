"""A small model on disk and requests to evaluate it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toolchain.catalog.arguments import ConversionSettings, ExportSettings
from toolchain.definitions.architecture import MOBILENETV2
from toolchain.definitions.variants import Variant
from toolchain.frames.dataset import Dataset
from toolchain.stages.convert.convert import convert
from toolchain.stages.convert.request import ConvertRequest, Float32Constants
from toolchain.stages.evaluate.request import EvaluatedModel, EvaluateRequest
from toolchain.stages.export.export import export
from toolchain.stages.export.request import ExportRequest

SIZE = ExportSettings(320, 192, sample_pixels=8_000)
SHAPE = (1, 3, 192, 320)
SETTINGS = ConversionSettings(
    inputs=("src", "bgr"),
    outputs=("pha", "fgr"),
    scale=(("src", (255.0,)), ("bgr", (255.0,))),
    reverse_input_channels=True,
    layouts=(("src", "NCHW"), ("bgr", "NCHW")),
    shapes=(("src", SHAPE), ("bgr", SHAPE)),
)


def build_small(checkpoint: Path, folder: Path) -> Path:
    """m.onnx, FP32/m.xml and FP16/m.xml in `folder`."""
    export(ExportRequest(checkpoint, folder / "m.onnx", SIZE, ()))
    for precision in ("FP32", "FP16"):
        xml = folder / precision / "m.xml"
        convert(
            ConvertRequest(
                folder / "m.onnx",
                xml,
                precision,
                SETTINGS,
                (),
                float32_constants=Float32Constants.from_architecture(MOBILENETV2),
                moves_preprocessing=True,
            )
        )
    return folder


def small_request(
    built: Path,
    dataset: Dataset,
    target: Path,
    models: tuple[str, ...] = ("FP32",),
    checkpoint: Path | None = None,
    **changes: Any,
) -> EvaluateRequest:
    """Evaluate `models` of `build_small` on `dataset`."""
    files = {"original": checkpoint or built / "none", "ONNX": built / "m.onnx"}
    chosen = tuple(
        EvaluatedModel(Variant(form), files.get(form, built / form / "m.xml"), SIZE)
        for form in models
    )
    return EvaluateRequest("m", dataset, chosen, target, **changes)


def frames_of(clips: dict[str, int]) -> list[str]:
    """The names of the frames that `write_published` makes."""
    return [f"{clip}/{number:04}" for clip, frames in clips.items() for number in range(frames)]
