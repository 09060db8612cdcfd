"""Faults of exports and conversions, each put into a correct build.

Some change the ONNX, and the IR is converted from that; others change how the ONNX is exported or
converted, or the finished IR.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

from fidelity.trial import (
    SETTINGS,
    Build,
    convert_to,
    export_to,
    with_edited_ir,
    with_edited_onnx,
    with_ir,
    with_onnx,
)
from toolchain.catalog.arguments import ConversionSettings
from toolchain.runtimes.openvino_api import operators
from toolchain.stages.validate.request import ValidateRequest

Fault = Callable[[Build, Path], ValidateRequest]
Edit = Callable[[Any], None]
LAST = np.iinfo(np.int32).max


# Edits of an ONNX


def find_node(model: Any, name: str) -> Any:
    """Return the node of that name."""
    return next(node for node in model.graph.node if node.name == name)


def find_constant(model: Any, name: str) -> Any:
    """Return the initializer of that name."""
    return next(item for item in model.graph.initializer if item.name == name)


def add_constant(model: Any, name: str, values: Any) -> str:
    """Add an initializer and return its name."""
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    return name


def change_constant(name: str, change: Callable[[Any], Any]) -> Edit:
    """Replace the values of one initializer."""

    def edit(model: Any) -> None:
        item = find_constant(model, name)
        values = change(numpy_helper.to_array(item).copy())
        item.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), name))

    return edit


def after(model: Any, tensor: str, operator: str, *inputs: str, **attributes: Any) -> None:
    """Put a node behind `tensor`: all its readers read the node's output instead."""
    position = next((n + 1 for n, node in enumerate(model.graph.node) if tensor in node.output), 0)
    made = f"{tensor}_{operator}_{len(model.graph.node)}"
    for node in model.graph.node:
        node.input[:] = [made if name == tensor else name for name in node.input]
    node = helper.make_node(operator, [tensor, *inputs], [made], f"fault/{made}", **attributes)
    model.graph.node.insert(position, node)


def before_output(model: Any, output: str, operator: str, *inputs: str, **attributes: Any) -> None:
    """Put a node before the graph's `output`."""
    inner = f"{output}_unchanged"
    for node in model.graph.node:
        node.output[:] = [inner if name == output else name for name in node.output]
        node.input[:] = [inner if name == output else name for name in node.input]
    model.graph.node.append(
        helper.make_node(operator, [inner, *inputs], [output], f"fault/{output}", **attributes)
    )


def reverse_input(model: Any, *names: str) -> None:
    """Reverse the channels of inputs."""
    order = add_constant(model, "fault_order", np.array([2, 1, 0]))
    for name in names:
        after(model, name, "Gather", order, axis=1)


def scale_inputs(model: Any, factor: float) -> None:
    """Multiply both inputs."""
    constant = add_constant(model, "fault_factor", np.float32(factor))
    for name in ("src", "bgr"):
        after(model, name, "Mul", constant)


def exchange_inputs(model: Any) -> None:
    """Read the frame as the plate and the plate as the frame."""
    swap = {"src": "bgr", "bgr": "src"}
    for node in model.graph.node:
        node.input[:] = [swap.get(name, name) for name in node.input]


def exchange_outputs(model: Any) -> None:
    """List the outputs in the other order."""
    pha, fgr = model.graph.output
    first, second = onnx.ValueInfoProto(), onnx.ValueInfoProto()
    first.CopyFrom(fgr)
    second.CopyFrom(pha)
    del model.graph.output[:]
    model.graph.output.extend([first, second])


def reverse_foreground(model: Any) -> None:
    """Give the foreground as BGR."""
    before_output(
        model, "fgr", "Gather", add_constant(model, "fault_order", np.array([2, 1, 0])), axis=1
    )


def forget_clamp(model: Any, output: str) -> None:
    """Do not clamp an output or inner tensor."""
    for node in model.graph.node:
        if node.op_type == "Clip" and output in node.output:
            wide = (add_constant(model, f"fault_{bound}", np.float32(bound)) for bound in (-99, 99))
            node.input[1:] = list(wide)


def forget_foreground_clamps(model: Any) -> None:
    """Do not clamp the foreground."""
    (concat,) = (node for node in model.graph.node if "fgr" in node.output)
    low = add_constant(model, "fault_low", np.float32(-99))
    high = add_constant(model, "fault_high", np.float32(99))
    for node in model.graph.node:
        if set(node.output) & set(concat.input):
            node.input[1:] = [low, high]


def double_residual(model: Any) -> None:
    """Add the residual to itself instead of to the frame."""
    node = find_node(model, "frame/Add")
    node.input[1] = node.input[0]


def change_resizes(model: Any, prefix: str, **attributes: str) -> None:
    """Change attributes of resizes."""
    for node in model.graph.node:
        if node.op_type == "Resize" and node.name.startswith(prefix):
            for item in node.attribute:
                if item.name in attributes:
                    item.s = attributes[item.name].encode()


def offset(model: Any, node: str, places: int, highest: int = LAST) -> None:
    """Add `places` to an integer tensor, up to `highest`."""
    (tensor,) = find_node(model, node).output
    low = add_constant(model, "fault_low", np.int32(0))
    high = add_constant(model, "fault_high", np.int32(highest))
    after(model, tensor, "Clip", low, high)
    after(model, tensor, "Add", add_constant(model, "fault_places", np.int32(places)))


def skip(model: Any, node: str) -> None:
    """Let a node of two inputs pass its first one on."""
    found = find_node(model, node)
    found.op_type = "Identity"
    del found.input[1:]
    del found.attribute[:]


def without_mask(model: Any) -> None:
    """Refine selected patches even where the expected error is zero."""
    find_node(model, "frame/Greater_2").input[1] = add_constant(
        model, "fault_minimum", np.float32(-1)
    )


def last_of_ties(model: Any) -> None:
    """Choose the last of equal expected errors: count them from the end."""
    change_attribute(model, "frame/CumSum", "reverse", 1)


def lowest(model: Any) -> None:
    """Choose the cells of the lowest expected error."""
    topk = find_node(model, "frame/TopK")
    position = list(model.graph.node).index(topk)
    negative = helper.make_node("Neg", [topk.input[0]], ["fault_negative"], "fault/negative")
    for node in ("frame/TopK", "frame/Greater", "frame/Equal"):
        find_node(model, node).input[0] = "fault_negative"
    model.graph.node.insert(position, negative)


def change_attribute(model: Any, node: str, name: str, value: Any) -> None:
    """Change an attribute of one node."""
    found = find_node(model, node)
    (item,) = (item for item in found.attribute if item.name == name)
    found.attribute.remove(item)
    found.attribute.append(helper.make_attribute(name, value))


def change_dilation(model: onnx.ModelProto) -> None:
    """Set the dilation of ASPP's first dilated convolution to 2 instead of 3."""
    change_attribute(model, "aspp.convs.1.0/Conv", "dilations", [2, 2])
    change_attribute(model, "aspp.convs.1.0/Conv", "pads", [2, 2, 2, 2])


def raise_relu6(model: Any) -> None:
    """Clip at 6,000 instead of 6."""
    for item in model.graph.initializer:
        scalar = item.data_type == onnx.TensorProto.FLOAT and not item.dims
        if scalar and numpy_helper.to_array(item) == np.float32(6):
            item.CopyFrom(numpy_helper.from_array(np.float32(6000), item.name))


def pool_maximum(model: Any) -> None:
    """Pool by the maximum instead of the mean in ASPP."""
    find_node(model, "aspp.convs.4.0/ReduceMean").op_type = "ReduceMax"


def round_activations(model: Any, dtype: int) -> None:
    """Round the tensor between ASPP and decoder to another type."""
    (tensor,) = find_node(model, "aspp.project.0/Conv").output
    after(model, tensor, "Cast", to=onnx.TensorProto.FLOAT)
    after(model, tensor, "Cast", to=dtype)


def scale_one(values: Any) -> Any:
    """Scale the largest value by 1.001."""
    flat = values.reshape(-1)
    place = int(np.abs(flat.astype(np.float64)).argmax())
    flat[place] = (flat[place].astype(np.float64) * 1.001).astype(flat.dtype)
    return flat.reshape(values.shape)


def transpose(values: Any) -> Any:
    """Transpose the weight of a 1x1 convolution."""
    outputs, inputs = values.shape[:2]
    return values.reshape(inputs, outputs).T.reshape(values.shape)


def zero_channel(values: Any) -> Any:
    """Set one input channel of a weight to zero."""
    values[:, min(3, values.shape[1] - 1)] = 0
    return values


def shift(values: Any) -> Any:
    """Move a weight by one place along its second axis."""
    return np.roll(values, 1, axis=1)


def to_nearest(values: Any) -> Any:
    """Turn a bilinear matrix into one of the nearest neighbour."""
    return (values == values.max(axis=0, keepdims=True)).astype(values.dtype)


# Faults of export and conversion


def edited(edit: Edit, build: Build, folder: Path) -> ValidateRequest:
    """A fault in the ONNX."""
    return with_edited_onnx(build, folder, edit)


def exported_with(pixels: int, build: Build, folder: Path) -> ValidateRequest:
    """Export with another number of refined pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = replace(SETTINGS, sample_pixels=SETTINGS.sample_pixels + pixels)
    path = export_to(build.request.checkpoint, folder / "m.onnx", settings)
    return with_onnx(build, folder, path)


def exported_from(
    change: Callable[[dict[str, torch.Tensor]], None], build: Build, folder: Path
) -> ValidateRequest:
    """Export other weights than those that are validated."""
    folder.mkdir(parents=True, exist_ok=True)
    state = torch.load(build.request.checkpoint, weights_only=True)
    change(state)
    torch.save(state, folder / "weights.pth")
    return with_onnx(build, folder, export_to(folder / "weights.pth", folder / "m.onnx"))


def other_epsilon(state: dict[str, torch.Tensor]) -> None:
    """BatchNorm's epsilon as 1e-3 instead of 1e-5."""
    for key, value in state.items():
        if key.endswith("running_var"):
            state[key] = value + (1e-3 - 1e-5)


def converted_with(
    change: Callable[[ConversionSettings], ConversionSettings], build: Build, folder: Path
) -> ValidateRequest:
    """Convert with other settings."""
    xml = convert_to(build.request.onnx, folder / "FP32" / "m.xml", "FP32", change)
    return with_ir(build, folder, "FP32", xml)


def scaled(factor: float, settings: ConversionSettings) -> ConversionSettings:
    """Divide the inputs by `factor`."""
    return replace(settings, scale=(("src", (factor,)), ("bgr", (factor,))))


def change_ir_constants(
    precision: str,
    element: str,
    change: Callable[[Any], Any],
    build: Build,
    folder: Path,
    *,
    only: str = "",
) -> ValidateRequest:
    """Change the larger constants of one element type in an IR, or only that of one name."""

    def edit(model: Any) -> None:
        for node in model.get_ordered_ops():
            if node.get_type_name() != "Constant":
                continue
            name, values = node.get_friendly_name(), np.array(node.data)
            if node.get_element_type().get_type_name() != element or only not in name:
                continue
            if values.size < 100 and not only:
                continue
            constant = operators.constant(np.ascontiguousarray(change(values)))
            constant.set_friendly_name(name)
            for target in node.output(0).get_target_inputs():
                target.replace_source_output(constant.output(0))

    return with_edited_ir(build, folder, precision, edit)


def rounded_to(dtype: torch.dtype, values: Any) -> Any:
    """Round values to another type, in the type that they had."""
    exact = torch.from_numpy(np.asarray(values, np.float32))
    return exact.to(dtype).to(torch.float32).numpy().astype(values.dtype)


def overflow(values: Any) -> Any:
    """Set one value to infinity."""
    values.reshape(-1)[0] = np.inf
    return values


WEIGHTS = {
    "first convolution": "backbone.features.0.0.weight",
    "depthwise convolution": "backbone.features.5.conv.1.0.weight",
    "1x1 convolution": "backbone.features.9.conv.2.weight",
    "dilated convolution": "aspp.convs.2.0.weight",
    "pooled branch": "aspp.convs.4.1.weight",
    "decoder convolution": "decoder.conv1.weight",
    "decoder bias": "decoder.conv3.bias",
    "last decoder convolution, first part": "decoder.conv4.first.weight",
    "last decoder convolution, second part": "decoder.conv4.others.weight",
    "refiner conv1 on frames": "refiner.conv1.frames.weight",
    "refiner conv1 in phases": "refiner.conv1.hidden.odd.weight",
    "refiner conv1 at the border": "refiner.conv1.hidden.sides.weight",
    "refiner conv2": "refiner.conv2.weight",
    "refiner conv3 at half size": "refiner.conv3_half.weight",
    "refiner conv3 at full size": "refiner.conv3_full.weight",
    "refiner conv4": "refiner.conv4.weight",
    "refiner bias": "refiner.conv3_full.bias",
    "shrinking": "halved.weight",
    "enlarging": "enlarged.down",
}


def list_faults() -> Mapping[str, Fault]:
    """List the faults by name."""
    edits: dict[str, Edit] = {
        "channels of the frame reversed": lambda model: reverse_input(model, "src"),
        "channels of both inputs reversed": lambda model: reverse_input(model, "src", "bgr"),
        "a second /255": lambda model: scale_inputs(model, 1 / 255),
        "inputs not divided by 255": lambda model: scale_inputs(model, 255),
        "frame and plate exchanged": exchange_inputs,
        "outputs in the other order": exchange_outputs,
        "foreground as BGR": reverse_foreground,
        "residual not added to the frame": double_residual,
        "foreground not clamped": forget_foreground_clamps,
        "expected error not clamped": lambda model: forget_clamp(model, "err_sm"),
        "align_corners in the decoder": lambda model: change_resizes(
            model, "decoder/", coordinate_transformation_mode="align_corners"
        ),
        "asymmetric resize in the decoder": lambda model: change_resizes(
            model, "decoder/", coordinate_transformation_mode="asymmetric"
        ),
        "nearest for bilinear in the decoder": lambda model: change_resizes(
            model, "decoder/", mode="nearest"
        ),
        "nearest for bilinear on the coarse result": change_constant("enlarged.across", to_nearest),
        "downsampled frames read with an offset": change_constant("shrunk.weight", shift),
        "half-size frames read with an offset": change_constant("halved.weight", shift),
        "half-size windows one pixel lower": lambda model: offset(
            model, "refiner/Add", 1, SETTINGS.height // 2 + 1
        ),
        "full-size windows one pixel lower": lambda model: offset(
            model, "refiner/Add_4", 1, SETTINGS.height - 1
        ),
        "full-size windows one pixel to the right": lambda model: offset(
            model, "refiner/Add_5", 1, SETTINGS.width - 1
        ),
        "patches written one pixel lower": lambda model: offset(
            model, "refiner/Add_8", 1, 4 * SETTINGS.height - 1
        ),
        "border of the enlarged maps": change_constant(
            "refiner.conv1.hidden.border", lambda values: values * 0
        ),
        "frame continued beyond its border": lambda model: skip(model, "refiner/Mul_6"),
        "no mask where the expected error is zero": without_mask,
        "last of equal expected errors": last_of_ties,
        "lowest expected errors": lowest,
        "ReLU for ReLU6": raise_relu6,
        "wrong dilation in ASPP": change_dilation,
        "maximum for mean in ASPP": pool_maximum,
        "activations rounded to float16": lambda model: round_activations(
            model, onnx.TensorProto.FLOAT16
        ),
        "transposed 1x1": change_constant("aspp.project.0.weight", transpose),
        "zeroed channel": change_constant("decoder.conv2.weight", zero_channel),
        "lost bias": change_constant("decoder.conv1.bias", lambda values: values * 0),
    }
    edits |= {
        f"one weight x 1.001: {kind}": change_constant(name, scale_one)
        for kind, name in WEIGHTS.items()
    }
    return {
        **{name: partial(edited, edit) for name, edit in edits.items()},
        "one patch fewer": partial(exported_with, -16),
        "50 patches fewer": partial(exported_with, -800),
        "BatchNorm's epsilon 1e-3": partial(exported_from, other_epsilon),
        "IR: channels not reversed": partial(
            converted_with, lambda settings: replace(settings, reverse_input_channels=False)
        ),
        "IR: divided by 256": partial(converted_with, partial(scaled, 256.0)),
        "IR: not divided": partial(converted_with, partial(scaled, 1.0)),
        "IR: mean of 1 subtracted": partial(
            converted_with,
            lambda settings: replace(settings, mean=(("src", (1.0,)), ("bgr", (1.0,)))),
        ),
        "IR FP32: one weight x 1.001": partial(
            change_ir_constants, "FP32", "f32", scale_one, only="decoder.conv1.weight"
        ),
        "IR FP32: weights rounded to float16": partial(
            change_ir_constants, "FP32", "f32", partial(rounded_to, torch.float16)
        ),
        "IR FP16: every weight 0.1 % off": partial(
            change_ir_constants,
            "FP16",
            "f16",
            lambda values: (values.astype(np.float32) * 1.001).astype(np.float16),
        ),
        "IR FP16: weights rounded to bfloat16": partial(
            change_ir_constants, "FP16", "f16", partial(rounded_to, torch.bfloat16)
        ),
        "IR FP16: one weight overflows": partial(
            change_ir_constants, "FP16", "f16", overflow, only="decoder.conv1.weight"
        ),
        "IR FP16: one weight x 1.001": partial(
            change_ir_constants, "FP16", "f16", scale_one, only="aspp.convs.1.0.weight"
        ),
        "IR FP16: weights for float32 scaled": partial(
            change_ir_constants, "FP16", "f32", scale_one, only="decoder.conv2.weight"
        ),
    }
