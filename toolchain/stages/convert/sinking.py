"""Reversal of channels and scaling moved from the head of the graph to where less data passes.

Both commute with whatever keeps channels apart: reshapes, transpositions, gathers along another
axis, convolutions that see each channel as a picture of its own, splits into single channels.
Frames are shrunk and patches cut out of them that way, so what is left to reverse and to scale is
a fraction of a frame, and averages are taken of whole numbers, which low precisions hold exactly.
Where nothing but convolutions follow a concatenation, their weights take both over (`folding`).
"""

from __future__ import annotations

import math
from typing import Any

from toolchain.stages.convert.folding import fold_into_weights
from toolchain.stages.convert.head import Head, axis_of, values_of

SPLITS = ("Split", "VariadicSplit")


def sink_preprocessing(model: Any) -> None:
    """Change `model` in place; its numbers stay the same but for rounding.

    A graph that does otherwise with its inputs, mean values among them, stays as it is.
    """
    heads = []
    for port in model.inputs:
        head = Head.of(port)
        if head is None:
            continue
        users = list(head.output.get_target_inputs())
        if any(_axis_after(user, head.axis) is not None for user in users):
            heads.append(head)
            for user in users:
                _sink(user, head.raw, head.axis, head)
    fold_into_weights(model, heads)


def _sink(user: Any, raw: Any, axis: int, head: Head) -> None:
    """Let `user` take `raw`, whose channels are on `axis`, and what follows it the rest."""
    after = _axis_after(user, axis)
    if after is None:
        user.replace_source_output(head.applied(raw, axis))
        return
    user.replace_source_output(raw)
    node = user.get_node()
    if node.get_type_name() in SPLITS:
        _exchange(node.outputs(), head)
        return
    (made,) = node.outputs()
    following, names = list(made.get_target_inputs()), made.get_names()
    made.set_names(set())  # they mean what has been reversed and scaled
    for each in following:
        _sink(each, made, after, head)
    head.name(made, after, names)


def _exchange(parts: list[Any], head: Head) -> None:
    """Let single channels be taken in order, each scaled."""
    given = [(list(part.get_target_inputs()), part.get_names()) for part in parts]
    for place, (following, names) in enumerate(given):
        taken = head.order[place]
        made = head.scaled(parts[taken], channel=place)
        parts[taken].set_names(set())
        made.set_names(names)
        for each in following:
            each.replace_source_output(made)


def _axis_after(user: Any, axis: int) -> int | None:
    """Where the channels lie after the node of `user`; None if it does not keep them apart."""
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
    order = values_of(node.input_value(1))
    return None if order is None else order.index(axis)


def _after_convolution(_node: Any, axis: int) -> int | None:
    return axis if axis == 0 else None


def _after_split(node: Any, axis: int) -> int | None:
    single = all(list(part.get_shape())[axis] == 1 for part in node.outputs())
    return axis if single and values_of(node.input_value(1)) == [axis] else None


def _after_gather(node: Any, axis: int) -> int | None:
    along = axis_of(node)
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
