"""Convert: an ONNX file into an IR that takes frames as cameras give them.

Inputs `src`, `bgr`: BGR, 0..255, float32 NCHW or uint8 NHWC; the change of type and layout is at
the head of the graph; so are the reversal of the channels and the division by 255, unless they
are to sink as far as they commute with what follows, partly into weights (`sinking`).  Outputs
`pha`, `fgr` in that order, as exported: `fgr` stays RGB 0..1, since reversing input channels does
not touch outputs.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from toolchain.catalog.arguments import ConversionSettings
from toolchain.definitions.ports import RT_INFO
from toolchain.errors import ConversionError, ToolchainError
from toolchain.stages.convert.graph import with_outputs, with_preprocessing
from toolchain.workspace.atomic import os_errors, publish_pair

Precision = Literal["FP32", "FP16"]
InputFormat = Literal["f32-nchw", "u8-nhwc"]  # planes of floats, or pixels as a camera gives them
NO_ROOM = 1 << 20  # bytes free at which a failed write is put down to a full disk


@dataclass(frozen=True)
class Kept:
    """Constants that FP16 leaves alone: those with fewer than `below` elements, and those whose
    name in the ONNX begins with one of `names`."""

    below: int = 0
    names: tuple[str, ...] = ()

    def holds(self, name: str, elements: int) -> bool:
        """Whether a constant stays in float32."""
        return elements < self.below or name.startswith(self.names)


@dataclass(frozen=True)
class ConvertRequest:
    """One IR to make.

    `xml`: where it goes, its bin beside it.  `settings`: from model.yml's model_optimizer_args.
    `facts`: pairs for rt_info's section "matting".  `model_info`: model.yml's own pairs.
    `kept`: what stays in float32 in an FP16 IR; by default nothing, as with the incumbent.
    `input_format`: of pictures; "u8-nhwc" asks for inputs whose layout is NCHW in the ONNX.
    `sunk`: whether reversal and scaling move down to where less data passes, which rounds
    otherwise; without it the outputs are those of OpenVINO's own conversion, bit for bit.
    """

    onnx: Path
    xml: Path
    precision: Precision
    settings: ConversionSettings
    facts: tuple[tuple[str, str], ...]
    model_info: tuple[tuple[str, object], ...] = ()
    kept: Kept = Kept()
    input_format: InputFormat = "f32-nchw"
    sunk: bool = False


@dataclass(frozen=True)
class ConvertResult:
    """Sizes in bytes."""

    xml: Path
    xml_size: int
    bin_size: int


def convert(request: ConvertRequest) -> ConvertResult:
    """Write `request.xml` and its bin, the same bytes for the same ONNX, settings and versions.

    Raises ConversionError if OpenVINO can't read the ONNX or the IR is not what was asked for,
    WorkspaceError if it can't be written.  An IR that was there stays until the new one is whole.
    """
    from toolchain.runtimes.openvino_api import openvino
    from toolchain.stages.convert.clamps import join_bounds
    from toolchain.stages.convert.sinking import sink_preprocessing

    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # files must be free to be replaced
    try:
        given, made_by = _names(request.onnx)
        model = core.read_model(request.onnx)
        kinds = _kinds(model)
        settings, pixels = request.settings, request.input_format == "u8-nhwc"
        model = with_outputs(model, settings, request.onnx, made_by)
        model = with_preprocessing(model, settings, request.onnx, pixels=pixels)
        if settings.reverse_input_channels and request.sunk:
            sink_preprocessing(model)
        join_bounds(model)
        promised = [port.get_names() for port in model.outputs]
    except RuntimeError as error:
        raise ConversionError(
            f"{request.onnx}: OpenVINO can't convert it: {_first_line(error)}",
            kept="Nothing was written.",
            hint="Check that the file is whole and its inputs are those of model.yml.",
        ) from error
    _name_nodes(model, given)
    model.set_friendly_name(request.xml.stem)
    for key, value in request.model_info:
        # Of sequences, OpenVINO takes lists alone.
        model.set_rt_info(list(value) if isinstance(value, tuple) else value, ["model_info", key])
    for key, text in request.facts:
        model.set_rt_info(text, [RT_INFO, key])
    folder = request.xml.parent
    with os_errors(folder, "write"):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{request.xml.stem}.", suffix=".part-write", dir=folder
        ) as scratch:
            written = Path(scratch, request.xml.name)
            try:
                _save(core, model, written, request)
                del model  # it is not needed in memory beside what it was written as
                _check(core.read_model(written), request, kinds, promised)
            except RuntimeError as error:
                if shutil.disk_usage(folder).free < NO_ROOM:  # which OpenVINO does not tell
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
                raise _save_error(error, folder) from error
            sizes = written.stat().st_size, written.with_suffix(".bin").stat().st_size
            publish_pair(written.with_suffix(".bin"), written, folder)
    return ConvertResult(request.xml, *sizes)


def _save(core: Any, model: Any, target: Path, request: ConvertRequest) -> None:
    from toolchain.runtimes.openvino_api import openvino

    if request.precision == "FP32":
        openvino.save_model(model, target, compress_to_fp16=False)
        return
    openvino.save_model(model, target, compress_to_fp16=True)
    if request.kept != Kept():
        compressed = core.read_model(target)
        _restore(compressed, model, request.kept)
        openvino.save_model(compressed, target, compress_to_fp16=False)


def _restore(compressed: Any, model: Any, kept: Kept) -> None:
    """Give the constants that are to be kept their float32 values back."""
    import numpy as np

    from toolchain.runtimes.openvino_api import operators

    values = {
        node.get_friendly_name(): node
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Constant" and node.get_element_type().get_type_name() == "f32"
    }
    for node in compressed.get_ordered_ops():
        source = values.get(node.get_friendly_name())
        if node.get_type_name() != "Convert" or source is None:
            continue
        elements = int(np.prod(list(source.get_output_shape(0)), dtype=int))
        if kept.holds(source.get_friendly_name(), elements):
            exact = operators.constant(source.data, name=source.get_friendly_name())
            for target in node.output(0).get_target_inputs():
                target.replace_source_output(exact.output(0))


def _name_nodes(model: Any, given: set[str]) -> None:
    """Name anew what OpenVINO numbered: its numbers depend on what the process did before.

    `given`: the names that the ONNX gave; they stay.
    """
    counts: dict[str, int] = {}
    for node in model.get_ordered_ops():
        if node.get_friendly_name() not in given:
            kind = node.get_type_name()
            count = counts[kind] = counts.get(kind, 0) + 1
            node.set_friendly_name(f"{kind}/{count}")


def _names(path: Path) -> tuple[set[str], dict[str, str]]:
    """Every name in an ONNX, and the tensor by the node that makes it, where it makes one.

    Empty for a file that is none: OpenVINO says better what is wrong with it.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load(path).graph
    except (DecodeError, OSError):
        return set(), {}
    names = {item.name for item in (*graph.node, *graph.initializer, *graph.input, *graph.output)}
    names = names.union(*(node.output for node in graph.node))
    return names, {node.name: node.output[0] for node in graph.node if len(node.output) == 1}


def _kinds(model: Any) -> dict[str, str]:
    """Element types of the inputs, by every name."""
    return {
        name: port.get_element_type().get_type_name()
        for port in model.inputs
        for name in port.get_names()
    }


def _check(
    model: Any, request: ConvertRequest, kinds: Mapping[str, str], promised: list[set[str]]
) -> None:
    """Hold the written IR against what was asked for.

    `kinds`: the ONNX's element types.  `promised`: the outputs' names.
    """
    settings = request.settings
    pixels = request.input_format == "u8-nhwc"
    wrong = []
    for port in model.inputs:
        name, names, shape = port.get_any_name(), port.get_names(), port.get_partial_shape()
        kind = "u8" if pixels else kinds[name]
        expected = next((given for key, given in settings.shapes if key in names), None)
        if expected is not None and pixels:
            batch, channels, height, width = expected
            expected = (batch, height, width, channels)
        found = None if shape.is_dynamic else tuple(shape.to_shape())
        element = port.get_element_type().get_type_name()
        if element != kind or found is None or (expected is not None and found != expected):
            wrong.append(f"{name} {element} {shape}, not {kind} {expected or 'static'}")
    outputs = [port.get_names() for port in model.outputs]
    if outputs != promised:
        wrong.append(f"outputs {outputs}, not {promised}")
    if wrong:
        raise ConversionError(
            f"{request.xml}: came out with {'; '.join(wrong)}",
            kept="Nothing was published.",
            hint="This is a fault of the toolchain or of OpenVINO's version: please report it.",
        )


def _save_error(error: RuntimeError, folder: Path) -> ToolchainError:
    return ConversionError(
        f"{folder}: OpenVINO can't write there: {_first_line(error)}",
        kept="What was there before is unchanged.",
        hint="Check free space and permissions, and run the same command again.",
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "Exception from" not in line and "Check '" not in line]
    return (told or lines or [type(error).__name__])[0][:300]
