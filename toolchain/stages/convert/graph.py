"""The graph between the ONNX and the IR: outputs chosen, preprocessing put before the inputs.

Which inputs the channels are reversed on, and which layout an input has that none was given for,
is what Model Optimizer did (its guide's "Embedding Preprocessing Computation").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolchain.catalog.arguments import ConversionSettings
from toolchain.errors import ConversionError

COLOURS = 3
# By rank: where channels may stand in a layout that nobody gave.
PLACES = {3: (0, 2), 4: (1, 3), 5: (1, 4)}


def with_outputs(
    model: Any, settings: ConversionSettings, source: object, made_by: Mapping[str, str]
) -> Any:
    """The same graph with exactly the outputs asked for, in order; `source` is for messages.

    An output is named by any of its tensor's names; an inner tensor, or the node that makes it,
    may be made one.  `made_by`: the ONNX's tensors by the names of its nodes.  Raises
    ConversionError for an input or output that is not there.
    """
    from toolchain.runtimes.openvino_api import openvino

    if not settings.outputs and not settings.inputs:
        return model
    inputs = [name for port in model.inputs for name in port.get_names()]
    found = {
        name: _port(model, name) or _port(model, made_by.get(name, name))
        for name in settings.outputs
    }
    missing = [name for name, port in found.items() if port is None]
    missing += [name for name in settings.inputs if name not in inputs]
    if missing:
        names = ", ".join(port.get_any_name() for port in model.outputs)
        raise ConversionError(
            f"{source}: has no {', '.join(missing)}; inputs are {', '.join(inputs)}, "
            f"outputs {names}",
            kept="Nothing was written.",
            hint="Correct the names in model.yml, or export the ONNX again.",
        )
    there = [port.get_names() for port in model.outputs]
    asked = settings.outputs
    if not asked or (
        len(asked) == len(there)
        and all(name in names for name, names in zip(asked, there, strict=True))
    ):
        return model
    return openvino.Model([found[name] for name in asked], model.get_parameters(), "")


def _port(model: Any, name: str) -> Any:
    """The tensor called `name`, of an output if there is one; None if there is none."""
    for port in model.outputs:
        if name in port.get_names():
            return port
    inner = (port for node in model.get_ordered_ops() for port in node.outputs())
    return next((port for port in inner if name in port.get_names()), None)


def with_preprocessing(
    model: Any, settings: ConversionSettings, source: object, *, pixels: bool = False
) -> Any:
    """Static shapes, then channels reversed, mean and scale at the head of the graph.

    `pixels`: inputs are uint8 NHWC instead of what the graph has.  Raises ConversionError for
    inputs of dynamic shape, and if no input has channels to reverse.
    """
    from toolchain.runtimes.openvino_api import PrePostProcessor, openvino

    for name, shape in settings.shapes:
        model.reshape({name: list(shape)})
    _refuse_dynamic(model, source)
    layouts = {index: _layout(port, settings) for index, port in enumerate(model.inputs)}
    reversed_ones = _reversible(model, layouts, source) if settings.reverse_input_channels else ()
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
        if index in reversed_ones:
            info.preprocess().reverse_channels()
        if (mean := _of(port, settings.mean)) is not None:
            info.preprocess().mean(_one_or_all(mean))
        if (scale := _of(port, settings.scale)) is not None:
            info.preprocess().scale(_one_or_all(scale))
    return steps.build()


def _refuse_dynamic(model: Any, source: object) -> None:
    # What lies between may be dynamic: other exports of this very network count their patches.
    dynamic = [
        f"{port.get_any_name()} {port.get_partial_shape()}"
        for port in model.inputs
        if port.get_partial_shape().is_dynamic
    ]
    if dynamic:
        raise ConversionError(
            f"{source}: has inputs of dynamic shape: {', '.join(dynamic)}; expected static ones",
            kept="Nothing was written.",
            hint="Give every input's shape in model.yml's input_info.",
        )


def _of(port: Any, values: tuple[tuple[str, Any], ...]) -> Any:
    """The value of this port; None if there is none."""
    names = port.get_names()
    return next((value for name, value in values if name in names), None)


def _layout(port: Any, settings: ConversionSettings) -> str:
    """The layout given; else `?C??` and the like where colours can stand in one place; else ""."""
    given = _of(port, settings.layouts)
    if given is not None:
        return str(given)
    shape = list(port.get_shape())
    colours = [index for index, size in enumerate(shape) if size == COLOURS]
    if len(colours) != 1 or colours[0] not in PLACES.get(len(shape), ()):
        return ""
    return "".join("C" if index == colours[0] else "?" for index in range(len(shape)))


def _reversible(model: Any, layouts: dict[int, str], source: object) -> tuple[int, ...]:
    """The inputs whose channels are three colours."""
    found = tuple(
        index
        for index, port in enumerate(model.inputs)
        if "C" in layouts[index] and port.get_shape()[layouts[index].index("C")] == COLOURS
    )
    if not found:
        inputs = ", ".join(f"{port.get_any_name()} {port.get_shape()}" for port in model.inputs)
        raise ConversionError(
            f"{source}: --reverse_input_channels meets no input with {COLOURS} channels; "
            f"inputs are {inputs}",
            kept="Nothing was written.",
            hint="Give the layout of the picture in model.yml's input_info, or leave it out.",
        )
    return found


def _one_or_all(values: tuple[float, ...]) -> float | list[float]:
    return values[0] if len(set(values)) == 1 else list(values)
