"""Conversion settings from `model_optimizer_args`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from toolchain.catalog.argument_list import (
    Argument,
    errors_in_file,
    errors_on_command_line,
    parse_arguments,
    read_finite,
    read_flag,
    read_or_default,
    read_positive,
)
from toolchain.catalog.names import find_name_fault
from toolchain.catalog.records import Model
from toolchain.catalog.yaml_nodes import quote

KEYS = (
    "input",
    "output",
    "input_shape",
    "layout",
    "mean_values",
    "scale_values",
    "scale",
    "reverse_input_channels",
    "compress_to_fp16",
    "data_type",
    "model_name",
    "input_model",
    "framework",
)
DATA_TYPES = {"FP16": True, "half": True, "FP32": False, "float": False}
Item = TypeVar("Item")
_ENTRY = re.compile(r"\s*([^\[\](),]*?)\s*(?:\[([^\[\]()]*)\]|\(([^\[\]()]*)\))?\s*(?:,|$)")
_LAYOUT = re.compile(r"[A-Za-z?]+")


@dataclass(frozen=True)
class ConversionSettings:
    """Settings of the conversion to IR.

    Attributes:
        inputs: Names of the inputs, in order.
        outputs: Names of the outputs, in order; none means those of the ONNX.
        mean: Values by input: one, or one per channel in the network's own order.
        scale: Values by input, likewise; the network's input is (x - mean) / scale.
        reverse_input_channels: Whether channels are reversed, before mean and scale.
        layouts: Layouts by input.
        shapes: Shapes by input.
        model_name: Name of the IR, None if not given.
        compress_to_fp16: Whether weights become float16, None if not given.
        input_model: Path of the ONNX, None if not given; may have variables such as $dl_dir.
    """

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    mean: tuple[tuple[str, tuple[float, ...]], ...] = ()
    scale: tuple[tuple[str, tuple[float, ...]], ...] = ()
    reverse_input_channels: bool = False
    layouts: tuple[tuple[str, str], ...] = ()
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    model_name: str | None = None
    compress_to_fp16: bool | None = None
    input_model: str | None = None


def conversion_settings(model: Model, extra: Iterable[str] = ()) -> ConversionSettings:
    """Read the settings from a model's model_optimizer_args and input_info.

    input_info provides names, shapes and layouts that no argument gives.

    Args:
        model: The model.
        extra: Arguments of --add_mo_arg, which replace those of model.yml.

    Raises:
        CatalogError: An argument in model.yml is invalid.
        UsageError: An argument in `extra` is invalid.
    """
    own = errors_in_file(model.config_path, "model_optimizer_args")
    found = parse_arguments(model.model_optimizer_args or (), KEYS, own)
    added = parse_arguments(extra, KEYS, errors_on_command_line("--add_mo_arg"))
    if "scale" in added or "scale_values" in added:
        for key in ("scale", "scale_values"):
            found.pop(key, None)
    if "data_type" in added or "compress_to_fp16" in added:
        for key in ("data_type", "compress_to_fp16"):
            found.pop(key, None)
    return _settings(model, found | added)


def _settings(model: Model, found: Mapping[str, Argument]) -> ConversionSettings:
    known = {info.name: info for info in model.input_info}
    by_name: list[tuple[str, tuple[int, ...] | None]] = [(name, None) for name in known]
    asked = read_or_default(found, "input", _inputs, by_name)
    inputs = tuple(name for name, _ in asked)
    shapes = {
        name: info.fixed_shape
        for name, info in known.items()
        if info.fixed_shape and name in inputs
    }
    shapes |= {name: shape for name, shape in asked if shape is not None}
    if "input_shape" in found:
        shapes |= _by_input(found["input_shape"], inputs, _shape)
    layouts = {name: info.layout for name, info in known.items() if info.layout and name in inputs}
    if "layout" in found:
        layouts |= _by_input(found["layout"], inputs, _layout)
    channels = {
        name: shapes[name][layout.index("C")]
        for name, layout in layouts.items()
        if "C" in layout and len(layout) == len(shapes.get(name, ()))
    }
    if "framework" in found and found["framework"].required_value() != "onnx":
        raise found["framework"].error(f"is {quote(found['framework'].required_value())}", "onnx")
    means = _values(found["mean_values"], inputs, channels) if "mean_values" in found else {}
    return ConversionSettings(
        inputs=inputs,
        outputs=read_or_default(found, "output", _outputs, ()),
        mean=_in_order(means),
        scale=_in_order(_scales(found, inputs, channels)),
        reverse_input_channels=read_or_default(
            found, "reverse_input_channels", read_flag, default=False
        ),
        layouts=_in_order(layouts),
        shapes=_in_order(shapes),
        model_name=read_or_default(found, "model_name", _model_name, None),
        compress_to_fp16=_compression(found),
        input_model=read_or_default(found, "input_model", Argument.required_value, None),
    )


def _in_order(values: Mapping[str, Item]) -> tuple[tuple[str, Item], ...]:
    return tuple(values.items())


def _pieces(argument: Argument) -> list[tuple[str, str | None]]:
    """Split `name[x],name(y),[z],name` into (name or "", text in brackets or None)."""
    text = argument.required_value()
    pieces, place = [], 0
    while place < len(text):
        match = _ENTRY.match(text, place)
        if match is None or not (match[1] or match[2] is not None or match[3] is not None):
            raise argument.error(f"is {quote(text)}", "NAME[...],NAME[...] or [...],[...]")
        inside = match[2] if match[2] is not None else match[3]
        pieces.append((match[1], inside))
        place = match.end()
    if text.endswith(","):
        raise argument.error(f"is {quote(text)}", "no comma at the end")
    return pieces


def _inputs(argument: Argument) -> list[tuple[str, tuple[int, ...] | None]]:
    read: list[tuple[str, tuple[int, ...] | None]] = []
    for name, inside in _pieces(argument):
        if not name or re.search(r"[\s{}]|->", name) or any(name == other for other, _ in read):
            wrong = f"is {quote(argument.required_value())}, which is not supported"
            raise argument.error(wrong, "different names, each with a shape in [] or without")
        read.append((name, None if inside is None else _shape(argument, inside)))
    return read


def _outputs(argument: Argument) -> tuple[str, ...]:
    names = tuple(name for name, inside in _pieces(argument) if name and inside is None)
    if len(names) != len(_pieces(argument)) or len(set(names)) != len(names):
        raise argument.error(f"is {quote(argument.required_value())}", "different names")
    return names


def _by_input(
    argument: Argument, inputs: tuple[str, ...], read: Callable[[Argument, str], Item]
) -> dict[str, Item]:
    """Read values by input: each with an input's name, or one per input without names."""
    pieces = _pieces(argument)
    named = [name for name, inside in pieces if name and inside is not None]
    # `--layout=NCHW` has no brackets: its text is the value.
    if not named:
        bare = [inside if inside is not None else name for name, inside in pieces]
        if len(bare) != len(inputs):
            wrong = f"has {len(bare)} values for {len(inputs)} inputs ({', '.join(inputs)})"
            raise argument.error(wrong, "one for each")
        return {name: read(argument, text) for name, text in zip(inputs, bare, strict=True)}
    if len(named) != len(pieces):
        raise argument.error(
            f"is {quote(argument.required_value())}", "a name with each value or with none"
        )
    if unknown := [name for name in named if inputs and name not in inputs]:
        raise argument.error(f"names {quote(unknown[0])}", f"inputs, which are {', '.join(inputs)}")
    if len(set(named)) != len(named):
        raise argument.error(f"is {quote(argument.required_value())}", "each input once")
    return {name: read(argument, inside or "") for name, inside in pieces}


def _shape(argument: Argument, text: str) -> tuple[int, ...]:
    parts = [part for part in re.split(r"\s*,\s*|\s+", text.strip().strip("[]()")) if part]
    if not parts:
        raise argument.error(
            f"is {quote(argument.required_value())}", "static shapes such as [1,3,720,1280]"
        )
    return tuple(read_positive(argument, part) for part in parts)


def _layout(argument: Argument, text: str) -> str:
    layout = re.sub(r"[\s,]", "", text).upper()
    letters = layout.replace("?", "")
    if not _LAYOUT.fullmatch(layout) or len(set(letters)) != len(letters):
        raise argument.error(
            f"is {quote(argument.required_value())}", "layouts such as src(NCHW),bgr(NCHW)"
        )
    return layout


def _values(
    argument: Argument, inputs: tuple[str, ...], channels: Mapping[str, int]
) -> dict[str, tuple[float, ...]]:
    """Read numbers by input: one, or one per channel."""

    def numbers(_: Argument, text: str) -> tuple[float, ...]:
        return tuple(read_finite(argument, part) for part in text.split(","))

    if any(inside is None for _, inside in _pieces(argument)):
        raise argument.error(
            f"is {quote(argument.required_value())}", "values in brackets: src[127.5]"
        )
    read = _by_input(argument, inputs, numbers)
    for name, values in read.items():
        if len(values) not in (1, channels.get(name, len(values))):
            wrong = f"has {len(values)} values for {name}"
            raise argument.error(wrong, f"1 or {channels[name]}, the number of its channels")
    return read


def _scales(
    found: Mapping[str, Argument], inputs: tuple[str, ...], channels: Mapping[str, int]
) -> dict[str, tuple[float, ...]]:
    read: dict[str, tuple[float, ...]] = {}
    if "scale" in found:
        if "scale_values" in found:
            raise found["scale"].error("conflicts with --scale_values", "one of the two")
        if not inputs:
            raise found["scale"].error(
                "applies to no known input", "names by --input or input_info"
            )
        read = dict.fromkeys(inputs, (read_finite(found["scale"]),))
    elif "scale_values" in found:
        read = _values(found["scale_values"], inputs, channels)
    if any(value == 0 for values in read.values() for value in values):
        raise found["scale" if "scale" in found else "scale_values"].error("has a 0", "divisors")
    return read


def _compression(found: Mapping[str, Argument]) -> bool | None:
    compress = read_or_default(found, "compress_to_fp16", read_flag, None)
    if "data_type" not in found:
        return compress
    argument = found["data_type"]
    if argument.required_value() not in DATA_TYPES:
        raise argument.error(f"is {quote(argument.required_value())}", " or ".join(DATA_TYPES))
    half = DATA_TYPES[argument.required_value()]
    if compress not in (None, half):
        raise argument.error("contradicts --compress_to_fp16", "one of the two")
    return half


def _model_name(argument: Argument) -> str:
    name = argument.required_value()
    if fault := find_name_fault(name):
        raise argument.error(f"{quote(name)} {fault}", "a name of letters, digits and . _ -")
    return name
