"""Convert an ONNX file to an IR that takes camera frames.

Inputs `src`, `bgr`: BGR, 0..255, float32 NCHW or uint8 NHWC.  The change of type and layout is the
first step of the graph.  So are the reversal of the channels and the division by 255, unless the
request moves them as far as they commute with what follows, partly into weights
(`preprocessing_placement`).  Outputs `pha`, `fgr`, in that order, are those of the ONNX: `fgr`
stays RGB 0..1, since the reversal of input channels does not affect outputs.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from toolchain.definitions.ports import RT_INFO
from toolchain.errors import ConversionError, ToolchainError
from toolchain.printable import printable
from toolchain.runtimes.openvino_api import openvino, operators
from toolchain.stages.convert.clamps import fuse_clamps
from toolchain.stages.convert.graph import add_preprocessing, select_outputs
from toolchain.stages.convert.preprocessing_placement import move_preprocessing
from toolchain.stages.convert.request import ConvertRequest, ConvertResult, Float32Constants
from toolchain.workspace.atomic import TEMPORARY_SUFFIX, os_errors, publish_pair

FULL_DISK = 1 << 20  # bytes; with less free space, a failed write is reported as a full disk


def convert(request: ConvertRequest) -> ConvertResult:
    """Write the IR: the same bytes for the same ONNX, settings and versions.

    An existing IR is replaced when the new one is complete.

    Args:
        request: What to convert.

    Returns:
        The IR that was written.

    Raises:
        ConversionError: OpenVINO cannot read the ONNX, or the IR differs from the request.
        WorkspaceError: The IR cannot be written.
    """
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # mapped files could not be replaced
    names, node_outputs = _read_names(request.onnx)
    try:
        model = core.read_model(request.onnx)
        types = _get_input_types(model)
        model = _transform(model, request, node_outputs)
        outputs = [port.get_names() for port in model.outputs]
    except RuntimeError as error:
        raise ConversionError(
            f"{request.onnx}: OpenVINO cannot convert it: {printable(_get_first_line(error), 400)}",
            kept="No IR was written.",
            hint="Check that the file is complete and has the inputs of model.yml.",
        ) from error
    _rename_nodes(model, names)
    _set_rt_info(model, request)
    folder = request.xml.parent
    with os_errors(folder, "write"):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{request.xml.stem}.", suffix=TEMPORARY_SUFFIX, dir=folder
        ) as scratch:
            written = Path(scratch, request.xml.name)
            try:
                _save(core, model, written, request)
                del model  # frees its memory before the written IR is read
                _check(core.read_model(written), request, types, outputs)
            except RuntimeError as error:
                if shutil.disk_usage(folder).free < FULL_DISK:  # not in OpenVINO's message
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
                raise _save_error(error, folder) from error
            sizes = written.stat().st_size, written.with_suffix(".bin").stat().st_size
            publish_pair(written.with_suffix(".bin"), written, folder)
    return ConvertResult(request.xml, *sizes)


def _transform(model: Any, request: ConvertRequest, node_outputs: Mapping[str, str]) -> Any:
    settings = request.settings
    model = select_outputs(model, settings, request.onnx, node_outputs)
    pixels = request.input_format == "u8-nhwc"
    model = add_preprocessing(model, settings, request.onnx, pixels=pixels)
    if settings.reverse_input_channels and request.moves_preprocessing:
        move_preprocessing(model)
    fuse_clamps(model)
    return model


def _set_rt_info(model: Any, request: ConvertRequest) -> None:
    model.set_friendly_name(request.xml.stem)
    for key, value in request.model_info:
        # Of sequences, OpenVINO takes lists alone.
        model.set_rt_info(list(value) if isinstance(value, tuple) else value, ["model_info", key])
    for key, text in request.facts:
        model.set_rt_info(text, [RT_INFO, key])


def _save(core: Any, model: Any, target: Path, request: ConvertRequest) -> None:
    if request.precision == "FP32":
        openvino.save_model(model, target, compress_to_fp16=False)
        return
    openvino.save_model(model, target, compress_to_fp16=True)
    if request.float32_constants != Float32Constants():
        compressed = core.read_model(target)
        _restore_float32(compressed, model, request.float32_constants)
        openvino.save_model(compressed, target, compress_to_fp16=False)


def _restore_float32(compressed: Any, model: Any, constants: Float32Constants) -> None:
    """Replace the `constants` of a compressed model by their float32 values in `model`."""
    values = {
        node.get_friendly_name(): node
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Constant" and node.get_element_type().get_type_name() == "f32"
    }
    for node in compressed.get_ordered_ops():
        name = node.get_friendly_name()
        source = values.get(name)
        if node.get_type_name() != "Convert" or source is None:
            continue
        if constants.include(name, int(np.prod(list(source.get_output_shape(0)), dtype=int))):
            exact = operators.constant(source.data, name=name)
            for target in node.output(0).get_target_inputs():
                target.replace_source_output(exact.output(0))


def _rename_nodes(model: Any, names: set[str]) -> None:
    """Rename the nodes whose names are not among the `names` of the ONNX.

    OpenVINO numbers them, and its numbers depend on previous conversions of the process.
    """
    counts: Counter[str] = Counter()
    for node in model.get_ordered_ops():
        if node.get_friendly_name() not in names:
            kind = node.get_type_name()
            counts[kind] += 1
            node.set_friendly_name(f"{kind}/{counts[kind]}")


def _read_names(path: Path) -> tuple[set[str], dict[str, str]]:
    """Every name in an ONNX file, and by node the tensor that it outputs, if it is one.

    Empty if the file is not an ONNX file: OpenVINO's message is more detailed.
    """
    try:
        graph = onnx.load(path).graph
    except (DecodeError, OSError):
        return set(), {}
    except (onnx.checker.ValidationError, ValueError) as error:  # of weights in other files
        raise ConversionError(
            f"{path}: cannot be read: {printable(_get_first_line(error), 400)}",
            kept="No IR was written.",
            hint="Place all of its files in its folder, or save it as one file.",
        ) from error
    names = {item.name for item in (*graph.node, *graph.initializer, *graph.input, *graph.output)}
    names = names.union(*(node.output for node in graph.node))
    return names, {node.name: node.output[0] for node in graph.node if len(node.output) == 1}


def _get_input_types(model: Any) -> dict[str, str]:
    """Element types of the inputs, by every name of each."""
    return {
        name: port.get_element_type().get_type_name()
        for port in model.inputs
        for name in port.get_names()
    }


def _check(
    model: Any, request: ConvertRequest, types: Mapping[str, str], outputs: list[set[str]]
) -> None:
    """Compare the written IR with the request, the ONNX's input `types` and the `outputs`."""
    settings = request.settings
    pixels = request.input_format == "u8-nhwc"
    faults = []
    for port in model.inputs:
        name, names, shape = port.get_any_name(), port.get_names(), port.get_partial_shape()
        kind = "u8" if pixels else types[name]
        expected = next((given for key, given in settings.shapes if key in names), None)
        if expected is not None and pixels:
            batch, channels, height, width = expected
            expected = (batch, height, width, channels)
        found = None if shape.is_dynamic else tuple(shape.to_shape())
        element = port.get_element_type().get_type_name()
        if element != kind or found is None or (expected is not None and found != expected):
            faults.append(f"{name} is {element} {shape}, expected {kind} {expected or 'static'}")
    written = [port.get_names() for port in model.outputs]
    if written != outputs:
        faults.append(f"outputs are {written}, expected {outputs}")
    if faults:
        raise ConversionError(
            f"{request.xml}: the written IR is wrong: {'; '.join(faults)}",
            kept="No IR was written; an existing one is unchanged.",
            hint="This is a fault of the toolchain or of OpenVINO's version: please report it.",
        )


def _save_error(error: RuntimeError, folder: Path) -> ToolchainError:
    return ConversionError(
        f"{folder}: OpenVINO cannot write there: {_get_first_line(error)}",
        kept="Existing files are unchanged.",
        hint="Check free space and permissions, and run the same command again.",
    )


def _get_first_line(error: Exception) -> str:
    """The first line that is not about a place in OpenVINO's source code."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    useful = [line for line in lines if "Exception from" not in line and "Check '" not in line]
    return (useful or lines or [type(error).__name__])[0][:300]
