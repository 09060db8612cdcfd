"""`model_optimizer_args` as settings of the conversion to IR."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from toolchain.catalog.argument_list import (
    Argument,
    finite,
    flag,
    given,
    in_file,
    on_command_line,
    parse,
    positive,
)
from toolchain.catalog.names import fault_of_model_name
from toolchain.catalog.positions import shown
from toolchain.catalog.records import Model

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
    """What the IR is made for.

    `inputs`, `outputs`: names, in order; no outputs means all, as the ONNX has them.
    `mean`, `scale`: per input one value, or one per channel, in the network's own order, applied
    as (x - mean) / scale after `reverse_input_channels`.  `layouts`, `shapes`: per input.
    `model_name`, `input_model`, `compress_to_fp16`: None if not given; `input_model` may hold
    variables such as $dl_dir.
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
    """The settings in `model`'s model_optimizer_args, input_info and `extra` (--add_mo_arg).

    What `extra` says counts instead of the same argument in model.yml; input_info gives names,
    shapes and layouts where no argument does.  Raises CatalogError for a mistake in model.yml,
    UsageError for one in `extra`; each names the argument.
    """
    own = in_file(model.config_path, "model_optimizer_args")
    found = parse(model.model_optimizer_args or (), KEYS, own)
    added = parse(extra, KEYS, on_command_line("--add_mo_arg"))
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
    asked = given(found, "input", _inputs, by_name)
    inputs = tuple(name for name, _ in asked)
    shapes = {name: info.shape for name, info in known.items() if info.shape and name in inputs}
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
    if "framework" in found and found["framework"].needed() != "onnx":
        raise found["framework"].error(f"is {shown(found['framework'].needed())}", "onnx")
    means = _values(found["mean_values"], inputs, channels) if "mean_values" in found else {}
    return ConversionSettings(
        inputs=inputs,
        outputs=given(found, "output", _outputs, ()),
        mean=_in_order(means),
        scale=_in_order(_scales(found, inputs, channels)),
        reverse_input_channels=given(found, "reverse_input_channels", flag, default=False),
        layouts=_in_order(layouts),
        shapes=_in_order(shapes),
        model_name=given(found, "model_name", _model_name, None),
        compress_to_fp16=_compression(found),
        input_model=given(found, "input_model", Argument.needed, None),
    )


def _in_order(values: Mapping[str, Item]) -> tuple[tuple[str, Item], ...]:
    return tuple(values.items())


def _pieces(argument: Argument) -> list[tuple[str, str | None]]:
    """`name[x],name(y),[z],name` as (name or "", what is in the brackets or None)."""
    text = argument.needed()
    pieces, place = [], 0
    while place < len(text):
        match = _ENTRY.match(text, place)
        if match is None or not (match[1] or match[2] is not None or match[3] is not None):
            raise argument.error(f"is {shown(text)}", "NAME[...],NAME[...] or [...],[...]")
        inside = match[2] if match[2] is not None else match[3]
        pieces.append((match[1], inside))
        place = match.end()
    if text.endswith(","):
        raise argument.error(f"is {shown(text)}", "no comma at the end")
    return pieces


def _inputs(argument: Argument) -> list[tuple[str, tuple[int, ...] | None]]:
    read: list[tuple[str, tuple[int, ...] | None]] = []
    for name, inside in _pieces(argument):
        if not name or re.search(r"[\s{}]|->", name) or any(name == other for other, _ in read):
            wrong = f"is {shown(argument.needed())}, which can't be translated"
            raise argument.error(wrong, "different names, each with a shape in [] or without")
        read.append((name, None if inside is None else _shape(argument, inside)))
    return read


def _outputs(argument: Argument) -> tuple[str, ...]:
    names = tuple(name for name, inside in _pieces(argument) if name and inside is None)
    if len(names) != len(_pieces(argument)) or len(set(names)) != len(names):
        raise argument.error(f"is {shown(argument.needed())}", "different names")
    return names


def _by_input(
    argument: Argument, inputs: tuple[str, ...], read: Callable[[Argument, str], Item]
) -> dict[str, Item]:
    """Values by input: all with the inputs' names, or none with a name and one for each input."""
    pieces = _pieces(argument)
    named = [name for name, inside in pieces if name and inside is not None]
    # `--layout=NCHW` has no brackets: there the text before them is the value.
    if not named:
        bare = [inside if inside is not None else name for name, inside in pieces]
        if len(bare) != len(inputs):
            wrong = f"has {len(bare)} values for {len(inputs)} inputs ({', '.join(inputs)})"
            raise argument.error(wrong, "one for each")
        return {name: read(argument, text) for name, text in zip(inputs, bare, strict=True)}
    if len(named) != len(pieces):
        raise argument.error(
            f"is {shown(argument.needed())}", "a name with each value or with none"
        )
    if unknown := [name for name in named if inputs and name not in inputs]:
        raise argument.error(f"names {shown(unknown[0])}", f"inputs, which are {', '.join(inputs)}")
    if len(set(named)) != len(named):
        raise argument.error(f"is {shown(argument.needed())}", "each input once")
    return {name: read(argument, inside or "") for name, inside in pieces}


def _shape(argument: Argument, text: str) -> tuple[int, ...]:
    parts = [part for part in re.split(r"\s*,\s*|\s+", text.strip().strip("[]()")) if part]
    if not parts:
        raise argument.error(
            f"is {shown(argument.needed())}", "static shapes such as [1,3,720,1280]"
        )
    return tuple(positive(argument, part) for part in parts)


def _layout(argument: Argument, text: str) -> str:
    layout = re.sub(r"[\s,]", "", text).upper()
    letters = layout.replace("?", "")
    if not _LAYOUT.fullmatch(layout) or len(set(letters)) != len(letters):
        raise argument.error(
            f"is {shown(argument.needed())}", "layouts such as src(NCHW),bgr(NCHW)"
        )
    return layout


def _values(
    argument: Argument, inputs: tuple[str, ...], channels: Mapping[str, int]
) -> dict[str, tuple[float, ...]]:
    """Numbers by input: one, or as many as it has channels."""

    def numbers(_: Argument, text: str) -> tuple[float, ...]:
        return tuple(finite(argument, part) for part in text.split(","))

    if any(inside is None for _, inside in _pieces(argument)):
        raise argument.error(f"is {shown(argument.needed())}", "values in brackets: src[127.5]")
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
            raise found["scale"].error("stands beside --scale_values", "one of the two")
        if not inputs:
            raise found["scale"].error("meets no known input", "names by --input or input_info")
        read = dict.fromkeys(inputs, (finite(found["scale"]),))
    elif "scale_values" in found:
        read = _values(found["scale_values"], inputs, channels)
    if any(value == 0 for values in read.values() for value in values):
        raise found["scale" if "scale" in found else "scale_values"].error("has a 0", "divisors")
    return read


def _compression(found: Mapping[str, Argument]) -> bool | None:
    compress = given(found, "compress_to_fp16", flag, None)
    if "data_type" not in found:
        return compress
    argument = found["data_type"]
    if argument.needed() not in DATA_TYPES:
        raise argument.error(f"is {shown(argument.needed())}", " or ".join(DATA_TYPES))
    half = DATA_TYPES[argument.needed()]
    if compress not in (None, half):
        raise argument.error("contradicts --compress_to_fp16", "one of the two")
    return half


def _model_name(argument: Argument) -> str:
    name = argument.needed()
    if fault := fault_of_model_name(name):
        raise argument.error(f"{shown(name)} {fault}", "a name of letters, digits and . _ -")
    return name
