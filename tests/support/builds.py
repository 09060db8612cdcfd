"""A small build of plausible weights, and ways of breaking its ONNX."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from toolchain.catalog.arguments import ConversionSettings, ExportSettings
from toolchain.catalog.builtin import builtin_config
from toolchain.catalog.reader import read_model
from toolchain.definitions.architecture import MOBILENETV2
from toolchain.stages.convert.convert import convert
from toolchain.stages.convert.request import ConvertRequest, Float32Constants
from toolchain.stages.export.export import export
from toolchain.stages.export.request import ExportRequest
from toolchain.stages.validate.request import ValidateRequest

SIZE = ExportSettings(320, 192, sample_pixels=8_000)
WHOLE = ExportSettings(320, 192, sample_pixels=16_000)  # too many patches for a mosaic
SHAPE = (1, 3, 192, 320)
SETTINGS = ConversionSettings(
    inputs=("src", "bgr"),
    outputs=("pha", "fgr"),
    scale=(("src", (255.0,)), ("bgr", (255.0,))),
    reverse_input_channels=True,
    layouts=(("src", "NCHW"), ("bgr", "NCHW")),
    shapes=(("src", SHAPE), ("bgr", SHAPE)),
)
PRECISIONS: tuple[str, ...] = ("FP32", "FP16")


def build_small(checkpoint: Path, folder: Path, settings: ExportSettings = SIZE) -> ValidateRequest:
    """A good export and both IRs at a small size, and the published limits."""
    onnx_file = folder / "m.onnx"
    export(ExportRequest(checkpoint, onnx_file, settings, ()))
    irs = []
    for precision in PRECISIONS:
        xml = folder / precision / "m.xml"
        convert(
            ConvertRequest(
                onnx_file,
                xml,
                precision,
                SETTINGS,
                (),
                float32_constants=Float32Constants.from_architecture(MOBILENETV2),
                moves_preprocessing=True,
            )
        )
        irs.append((precision, xml))
    return ValidateRequest(
        name="m",
        checkpoint=checkpoint,
        onnx=onnx_file,
        irs=tuple(irs),
        settings=settings,
        tolerances=read_model(builtin_config()).tolerances,
        target=folder / "validation.json",
        composites=2,
    )


def broken_onnx(source: Path, target: Path, change: Callable[[Any], None]) -> Path:
    """`source` with its graph changed, in `target`."""
    model = onnx.load(source)
    change(model)
    onnx.save(model, target)
    return target


def perturb(name: str, factor: float) -> Callable[[Any], None]:
    """Scale one initializer."""

    def change(model: Any) -> None:
        for item in model.graph.initializer:
            if item.name == name:
                values = numpy_helper.to_array(item) * np.float32(factor)
                item.CopyFrom(numpy_helper.from_array(values, name))
                return
        raise KeyError(name)

    return change


def node(model: Any, name: str) -> Any:
    """The node of that name."""
    return next(item for item in model.graph.node if item.name == name)
