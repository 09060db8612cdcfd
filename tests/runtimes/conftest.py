"""A small exported and converted model."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolchain.catalog.arguments import ConversionSettings, ExportSettings
from toolchain.stages.convert.convert import convert
from toolchain.stages.convert.request import ConvertRequest
from toolchain.stages.export.export import export
from toolchain.stages.export.request import ExportRequest

EXPORT = ExportSettings(320, 192, sample_pixels=8_000)
SHAPE = (1, 3, 192, 320)
CONVERSION = ConversionSettings(
    inputs=("src", "bgr"),
    outputs=("pha", "fgr"),
    scale=(("src", (255.0,)), ("bgr", (255.0,))),
    reverse_input_channels=True,
    layouts=(("src", "NCHW"), ("bgr", "NCHW")),
    shapes=(("src", SHAPE), ("bgr", SHAPE)),
)


@pytest.fixture(scope="session")
def small_model(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of m.onnx and m.xml (FP32), 320x192."""
    folder = tmp_path_factory.mktemp("small_model")
    export(ExportRequest(checkpoint, folder / "m.onnx", EXPORT, ()))
    convert(ConvertRequest(folder / "m.onnx", folder / "m.xml", "FP32", CONVERSION, (), ()))
    return folder
