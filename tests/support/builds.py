"""A small build of plausible weights, and ways of breaking its files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
from onnx import numpy_helper
from openvino import opset8

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


def broken_ir(source: Path, target: Path, change: Callable[[Any], None]) -> Path:
    """`source` with its graph changed, in `target`."""
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # the file stays free to be replaced
    model = core.read_model(source)
    change(model)
    openvino.save_model(model, target, compress_to_fp16=False)
    return target


def constants(model: Any) -> list[Any]:
    """The IR's constants of floats that are no scalars."""
    return [
        item
        for item in model.get_ordered_ops()
        if item.get_type_name() == "Constant"
        and item.get_element_type().is_real()
        and item.data.size > 1
    ]


def replace_constant(item: Any, values: Any) -> None:
    """Put other values, or another type, in the place of a constant of an IR."""
    other = opset8.constant(np.ascontiguousarray(values))
    other.set_friendly_name(item.get_friendly_name())
    for port in item.output(0).get_target_inputs():
        port.replace_source_output(other.output(0))


def scale_one(values: Any) -> Any:
    """A copy whose largest value is scaled by 1.001."""
    changed = np.array(values).reshape(-1)
    place = int(np.abs(changed.astype(np.float64)).argmax())
    changed[place] = (changed[place].astype(np.float64) * 1.001).astype(changed.dtype)
    return changed.reshape(np.shape(values))


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
