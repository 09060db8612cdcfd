"""Preprocessing moved from the inputs of a graph to where less data passes.

Reversal and scaling of channels commute with operators that keep channels separate: reshapes,
transpositions, gathers along another axis, convolutions of each channel as an image of its own,
splits into single channels.  The graph downsamples frames and cuts out patches with such
operators.  What remains to be reversed and scaled is a fraction of a frame, and averages are taken
of whole numbers, which low precisions represent exactly.  Where only convolutions follow a
concatenation, their weights take over both (`weight_folding`).
"""

from __future__ import annotations

import math
from typing import Any

from toolchain.stages.convert.input_preprocessing import (
    InputPreprocessing,
    get_constant,
    get_gather_axis,
)
from toolchain.stages.convert.weight_folding import fold_into_weights

SPLITS = ("Split", "VariadicSplit")


def move_preprocessing(model: Any) -> None:
    """Move the preprocessing of `model`, in place; results change only by rounding.

    A graph with other preprocessing, such as mean values, is not changed.
    """
    moved = []
    for port in model.inputs:
        preprocessing = InputPreprocessing.find(port)
        if preprocessing is None:
            continue
        users = list(preprocessing.output.get_target_inputs())
        if any(_get_axis_after(user, preprocessing.axis) is not None for user in users):
            moved.append(preprocessing)
            for user in users:
                _move_behind(user, preprocessing.raw, preprocessing.axis, preprocessing)
    fold_into_weights(model, moved)


def _move_behind(user: Any, raw: Any, axis: int, preprocessing: InputPreprocessing) -> None:
    """Connect `user` to `raw`, whose channels are on `axis`, and preprocess its results."""
    after = _get_axis_after(user, axis)
    if after is None:
        user.replace_source_output(preprocessing.apply(raw, axis))
        return
    user.replace_source_output(raw)
    node = user.get_node()
    if node.get_type_name() in SPLITS:
        _reorder_split(node.outputs(), preprocessing)
        return
    (output,) = node.outputs()
    following, names = list(output.get_target_inputs()), output.get_names()
    output.set_names(set())  # the names belong to the reversed and scaled tensor
    for each in following:
        _move_behind(each, output, after, preprocessing)
    preprocessing.set_names(output, after, names)


def _reorder_split(parts: list[Any], preprocessing: InputPreprocessing) -> None:
    """Connect the users of single channels to the right channels, each scaled."""
    given = [(list(part.get_target_inputs()), part.get_names()) for part in parts]
    for place, (following, names) in enumerate(given):
        source = parts[preprocessing.order[place]]
        scaled = preprocessing.scale(source, channel=place)
        source.set_names(set())
        scaled.set_names(names)
        for each in following:
            each.replace_source_output(scaled)


def _get_axis_after(user: Any, axis: int) -> int | None:
    """Axis of the channels after the node of `user`; None if it does not keep them separate."""
    node = user.get_node()
    rule = RULES.get(node.get_type_name())
    if rule is None or user.get_index() != 0 or not _is_static(node):
        return None
    return rule(node, axis)


def _is_static(node: Any) -> bool:
    values = [*node.input_values(), *node.outputs()]
    return not any(value.get_partial_shape().is_dynamic for value in values)


def _after_reshape(node: Any, axis: int) -> int | None:
    before, after = list(node.input_value(0).get_shape()), list(node.get_output_shape(0))
    for place, size in enumerate(after):
        if size == before[axis] and math.prod(after[:place]) == math.prod(before[:axis]):
            return place
    return None


def _after_transpose(node: Any, axis: int) -> int | None:
    order = get_constant(node.input_value(1))
    return None if order is None else order.index(axis)


def _after_convolution(_node: Any, axis: int) -> int | None:
    return axis if axis == 0 else None


def _after_split(node: Any, axis: int) -> int | None:
    single = all(list(part.get_shape())[axis] == 1 for part in node.outputs())
    return axis if single and get_constant(node.input_value(1)) == [axis] else None


def _after_gather(node: Any, axis: int) -> int | None:
    along = get_gather_axis(node)
    if along is None or along == axis:
        return None
    return axis if along > axis else axis + len(node.input_value(1).get_shape()) - 1


RULES = {
    "Reshape": _after_reshape,
    "Transpose": _after_transpose,
    "Convolution": _after_convolution,
    "Split": _after_split,
    "VariadicSplit": _after_split,
    "Gather": _after_gather,
}
