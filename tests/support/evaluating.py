"""A small model on disk and requests to evaluate it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toolchain.catalog.arguments import ConversionSettings, ExportSettings
from toolchain.frames.dataset import Dataset
from toolchain.pipeline.request import KEPT
from toolchain.stages.convert import ConvertRequest, convert
from toolchain.stages.evaluate import EvaluateRequest, Way
from toolchain.stages.export import ExportRequest, export

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
            ConvertRequest(folder / "m.onnx", xml, precision, SETTINGS, (), (), KEPT, sunk=True)
        )  # type: ignore[arg-type]
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
    files = {"original": checkpoint or built / "none", "onnx": built / "m.onnx"}
    ways = tuple(
        Way(model, "f32", files.get(model, built / model / "m.xml"), SIZE) for model in models
    )
    return EvaluateRequest("m", dataset, ways, target, **changes)


def frames_of(clips: dict[str, int]) -> list[str]:
    """The names of the frames that `write_published` makes."""
    return [f"{clip}/{number:04}" for clip, frames in clips.items() for number in range(frames)]
