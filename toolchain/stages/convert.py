"""Convert: an ONNX file into an IR that takes frames as cameras give them.

Inputs `src`, `bgr`: BGR, 0..255, float32 NCHW or uint8 NHWC; the reversal of the channels, the
division by 255 and the change of type and layout are nodes at the head of the graph.  Outputs
`pha`, `fgr` in that order, as exported: `fgr` stays RGB 0..1, since reversing input channels does
not touch outputs.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from toolchain.catalog.arguments import ConversionSettings
from toolchain.errors import ConversionError, ToolchainError
from toolchain.workspace.atomic import os_errors, publish_pair

Precision = Literal["FP32", "FP16"]
InputFormat = Literal["f32-nchw", "u8-nhwc"]  # planes of floats, or pixels as a camera gives them
RT_INFO = "matting"  # the section of rt_info that holds our facts
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
    """

    onnx: Path
    xml: Path
    precision: Precision
    settings: ConversionSettings
    facts: tuple[tuple[str, str], ...]
    model_info: tuple[tuple[str, object], ...] = ()
    kept: Kept = Kept()
    input_format: InputFormat = "f32-nchw"


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
    import openvino

    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # files must be free to be replaced
    try:
        model = core.read_model(request.onnx)
        model = _with_outputs(model, request)
        model = _with_preprocessing(model, request)
    except RuntimeError as error:
        raise ConversionError(
            f"{request.onnx}: OpenVINO can't convert it: {_first_line(error)}",
            kept="Nothing was written.",
            hint="Check that the file is whole and its inputs are those of model.yml.",
        ) from error
    _name_nodes(model, _given_names(request.onnx))
    model.set_friendly_name(request.xml.stem)
    for key, value in request.model_info:
        model.set_rt_info(value, ["model_info", key])
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
                _check(core.read_model(written), request)
            except RuntimeError as error:
                if shutil.disk_usage(folder).free < NO_ROOM:  # which OpenVINO does not tell
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
                raise _save_error(error, folder) from error
            del model
            sizes = written.stat().st_size, written.with_suffix(".bin").stat().st_size
            publish_pair(written.with_suffix(".bin"), written, folder)
    return ConvertResult(request.xml, *sizes)


def _save(core: Any, model: Any, target: Path, request: ConvertRequest) -> None:
    import openvino

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

    try:
        from openvino import opset8
    except ImportError:  # its place up to 2024
        from openvino.runtime import opset8

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
            exact = opset8.constant(source.data, name=source.get_friendly_name())
            for target in node.output(0).get_target_inputs():
                target.replace_source_output(exact.output(0))


def _with_outputs(model: Any, request: ConvertRequest) -> Any:
    """The same graph with exactly the outputs asked for, in order."""
    import openvino

    names = [output.get_any_name() for output in model.outputs]
    wanted = request.settings.outputs or tuple(names)
    inputs = [port.get_any_name() for port in model.inputs]
    missing = [name for name in wanted if name not in names]
    missing += [name for name in request.settings.inputs if name not in inputs]
    if missing:
        raise ConversionError(
            f"{request.onnx}: has no {', '.join(missing)}; inputs are {', '.join(inputs)}, "
            f"outputs {', '.join(names)}",
            kept="Nothing was written.",
            hint="Correct the names in model.yml, or export the ONNX again.",
        )
    if list(wanted) == names:
        return model
    return openvino.Model([model.output(name) for name in wanted], model.get_parameters(), "")


def _with_preprocessing(model: Any, request: ConvertRequest) -> Any:
    import openvino
    from openvino.preprocess import PrePostProcessor

    settings = request.settings
    for name, shape in settings.shapes:
        model.reshape({name: list(shape)})
    # What lies between may be dynamic: other exports of this very network count their patches.
    dynamic = [
        f"{port.get_any_name()} {port.get_partial_shape()}"
        for port in model.inputs
        if port.get_partial_shape().is_dynamic
    ]
    if dynamic:
        raise ConversionError(
            f"{request.onnx}: has inputs of dynamic shape: {', '.join(dynamic)}; "
            "expected static ones",
            kept="Nothing was written.",
            hint="Give every input's shape in model.yml's input_info.",
        )
    steps = PrePostProcessor(model)
    layouts = dict(settings.layouts)
    means, scales = dict(settings.mean), dict(settings.scale)
    for port in model.inputs:
        name = port.get_any_name()
        info = steps.input(name)
        layout = openvino.Layout(layouts.get(name, "NCHW"))
        info.model().set_layout(layout)
        if request.input_format == "u8-nhwc":
            info.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
            info.preprocess().convert_layout(layout).convert_element_type(openvino.Type.f32)
        else:
            info.tensor().set_layout(layout)
        if settings.reverse_input_channels:
            info.preprocess().reverse_channels()
        if name in means:
            info.preprocess().mean(_one_or_all(means[name]))
        if name in scales:
            info.preprocess().scale(_one_or_all(scales[name]))
    return steps.build()


def _one_or_all(values: tuple[float, ...]) -> float | list[float]:
    return values[0] if len(set(values)) == 1 else list(values)


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


def _given_names(path: Path) -> set[str]:
    import onnx

    graph = onnx.load(path).graph
    names = {item.name for item in (*graph.node, *graph.initializer, *graph.input, *graph.output)}
    return names.union(*(node.output for node in graph.node))


def _check(model: Any, request: ConvertRequest) -> None:
    found = [
        (port.get_any_name(), port.get_element_type().get_type_name(), port.get_partial_shape())
        for port in model.inputs
    ]
    outputs = [port.get_any_name() for port in model.outputs]
    settings = request.settings
    shapes, kind = dict(settings.shapes), "f32"
    if request.input_format == "u8-nhwc":
        shapes, kind = {name: (n, h, w, c) for name, (n, c, h, w) in shapes.items()}, "u8"
    wrong = [
        f"{name} {element} {shape}"
        for name, element, shape in found
        if element != kind
        or shape.is_dynamic
        or tuple(shape.to_shape()) != shapes.get(name, tuple(shape.to_shape()))
    ]
    if wrong or outputs != list(settings.outputs or outputs):
        raise ConversionError(
            f"{request.xml}: came out with inputs {', '.join(wrong) or 'as expected'} and outputs "
            f"{', '.join(outputs)}, expected {kind} {shapes}, outputs {settings.outputs}",
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
