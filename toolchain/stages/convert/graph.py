"""The graph between the ONNX and the IR: outputs selected, preprocessing added to the inputs.

As Model Optimizer did (see its guide, "Embedding Preprocessing Computation"): which inputs have
their channels reversed, and which layout an input has if none was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolchain.catalog.arguments import ConversionSettings
from toolchain.errors import ConversionError
from toolchain.runtimes.openvino_api import PrePostProcessor, openvino

COLOURS = 3
# By rank: axes that can be the channels of a layout that was not given.
CHANNEL_AXES = {3: (0, 2), 4: (1, 3), 5: (1, 4)}


def select_outputs(
    model: Any, settings: ConversionSettings, source: Path, node_outputs: Mapping[str, str]
) -> Any:
    """Select the outputs that the settings name, in their order.

    Args:
        model: The graph.
        settings: Names of inputs and outputs.  An output is named by any name of a tensor, or by
            the node that outputs it; inner tensors are permitted.
        source: The ONNX file, for messages.
        node_outputs: Tensors of the ONNX by the names of the nodes that output them.

    Returns:
        The same graph with these outputs.

    Raises:
        ConversionError: An input or output does not exist.
    """
    if not settings.outputs and not settings.inputs:
        return model
    inputs = [name for port in model.inputs for name in port.get_names()]
    found = {
        name: _find_tensor(model, name) or _find_tensor(model, node_outputs.get(name, name))
        for name in settings.outputs
    }
    missing = [name for name, port in found.items() if port is None]
    missing += [name for name in settings.inputs if name not in inputs]
    if missing:
        outputs = ", ".join(port.get_any_name() for port in model.outputs)
        raise ConversionError(
            f"{source}: {', '.join(missing)} not found; inputs are {', '.join(inputs)}, outputs "
            f"are {outputs}",
            kept="No IR was written.",
            hint="Correct the names in model.yml, or export the ONNX again.",
        )
    present = [port.get_names() for port in model.outputs]
    wanted = settings.outputs
    if not wanted or (
        len(wanted) == len(present)
        and all(name in names for name, names in zip(wanted, present, strict=True))
    ):
        return model
    return openvino.Model([found[name] for name in wanted], model.get_parameters(), "")


def _find_tensor(model: Any, name: str) -> Any:
    """The tensor of this name, preferably an output of the graph; None if there is none."""
    for port in model.outputs:
        if name in port.get_names():
            return port
    inner = (port for node in model.get_ordered_ops() for port in node.outputs())
    return next((port for port in inner if name in port.get_names()), None)


def add_preprocessing(
    model: Any, settings: ConversionSettings, source: Path, *, pixels: bool = False
) -> Any:
    """Set static shapes, then add reversal of channels, mean and scale to the inputs.

    Args:
        model: The graph.
        settings: Shapes, layouts, means and scales by input, and whether channels are reversed.
        source: The ONNX file, for messages.
        pixels: Whether the inputs become uint8 NHWC.

    Returns:
        The graph with preprocessing.

    Raises:
        ConversionError: An input has a dynamic shape, or channels are to be reversed but no input
            has three.
    """
    for name, shape in settings.shapes:
        model.reshape({name: list(shape)})
    _refuse_dynamic_inputs(model, source)
    layouts = {index: _get_layout(port, settings) for index, port in enumerate(model.inputs)}
    to_reverse = _find_reversible(model, layouts, source) if settings.reverse_input_channels else ()
    steps = PrePostProcessor(model)
    for index, port in enumerate(model.inputs):
        info = steps.input(index)
        layout = layouts[index] if not pixels or "N" in layouts[index] else "NCHW"
        if layout:
            info.model().set_layout(openvino.Layout(layout))
        if pixels:
            info.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
            info.preprocess().convert_layout(openvino.Layout(layout))
            info.preprocess().convert_element_type(openvino.Type.f32)
        elif layout:
            info.tensor().set_layout(openvino.Layout(layout))
        if index in to_reverse:
            info.preprocess().reverse_channels()
        if (mean := _get_by_port(settings.mean, port)) is not None:
            info.preprocess().mean(_one_or_all(mean))
        if (scale := _get_by_port(settings.scale, port)) is not None:
            info.preprocess().scale(_one_or_all(scale))
    return steps.build()


def _refuse_dynamic_inputs(model: Any, source: Path) -> None:
    # Inner shapes may be dynamic: other exports of this network have a varying number of patches.
    dynamic = [
        f"{port.get_any_name()} {port.get_partial_shape()}"
        for port in model.inputs
        if port.get_partial_shape().is_dynamic
    ]
    if dynamic:
        raise ConversionError(
            f"{source}: inputs of dynamic shape: {', '.join(dynamic)}; expected static shapes",
            kept="No IR was written.",
            hint="Give the shape of every input in input_info of model.yml.",
        )


def _get_by_port(values: tuple[tuple[str, Any], ...], port: Any) -> Any:
    """The value for any name of this port; None if there is none."""
    names = port.get_names()
    return next((value for name, value in values if name in names), None)


def _get_layout(port: Any, settings: ConversionSettings) -> str:
    """The given layout; else such as `?C??` if one axis can be the colours; else ""."""
    given = _get_by_port(settings.layouts, port)
    if given is not None:
        return str(given)
    shape = list(port.get_shape())
    colours = [index for index, size in enumerate(shape) if size == COLOURS]
    if len(colours) != 1 or colours[0] not in CHANNEL_AXES.get(len(shape), ()):
        return ""
    return "".join("C" if index == colours[0] else "?" for index in range(len(shape)))


def _find_reversible(model: Any, layouts: dict[int, str], source: Path) -> tuple[int, ...]:
    """Indices of the inputs with three channels."""
    found = tuple(
        index
        for index, port in enumerate(model.inputs)
        if "C" in layouts[index] and port.get_shape()[layouts[index].index("C")] == COLOURS
    )
    if not found:
        inputs = ", ".join(f"{port.get_any_name()} {port.get_shape()}" for port in model.inputs)
        raise ConversionError(
            f"{source}: --reverse_input_channels: no input has {COLOURS} channels; inputs are "
            f"{inputs}",
            kept="No IR was written.",
            hint="Give the layout of the image in input_info of model.yml, or remove the argument.",
        )
    return found


def _one_or_all(values: tuple[float, ...]) -> float | list[float]:
    return values[0] if len(set(values)) == 1 else list(values)
