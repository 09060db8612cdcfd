"""Order and scale of channels taken over by the weights of the convolutions that read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from toolchain.runtimes.openvino_api import operators
from toolchain.stages.convert.head import Head

CHANNELS = 1  # the axis of a convolution's input


def fold_into_weights(model: Any, heads: Sequence[Head]) -> None:
    """Wherever preprocessed tensors are joined and only convolved, possibly masked, after that.

    Joined: the frame and its plate, on the axis of their channels.  Masked: multiplied by one
    plane for all channels.
    """
    made = {
        _key(done.made): (done.raw, head)
        for head in heads
        for done in head.applied_to
        if done.axis == CHANNELS
    }
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Concat" or node.get_attributes()["axis"] != CHANNELS:
            continue
        parts = [made.get(_key(value)) for value in node.input_values()]
        convolutions = _only_convolved(node.output(0))
        if None in parts or not convolutions:
            continue
        _forget_names(node.output(0))
        order: list[int] = []
        factors: list[np.ndarray] = []
        for index, (raw, head) in enumerate(part for part in parts if part is not None):
            node.input(index).replace_source_output(raw)
            order += [len(factors) * len(head.order) + place for place in head.order]
            factors.append(head.factors)
        for convolution in convolutions:
            _fold(convolution, order, np.concatenate(factors))


def _only_convolved(value: Any) -> list[Any]:
    """The convolutions that read `value`, if nothing else does, with constant weights."""
    found = []
    for user in value.get_target_inputs():
        node, kind = user.get_node(), user.get_node().get_type_name()
        further = []
        if kind == "Convolution" and user.get_index() == 0 and _is_constant(node.input_value(1)):
            further = [node]
        elif kind == "Multiply" and _is_mask(node.input_value(1 - user.get_index()), value):
            further = _only_convolved(node.output(0))
        if not further:
            return []
        found += further
    return found


def _is_constant(value: Any) -> bool:
    return bool(value.get_node().get_type_name() == "Constant")


def _is_mask(factor: Any, value: Any) -> bool:
    """Whether all channels of `value` are multiplied alike."""
    shapes = factor.get_partial_shape(), value.get_partial_shape()
    if any(shape.is_dynamic for shape in shapes):
        return False
    mask, masked = (list(shape.to_shape()) for shape in shapes)
    return len(mask) == len(masked) and mask[CHANNELS] == 1


def _forget_names(value: Any) -> None:
    """What is called so is no longer there: up to the convolutions, values are as given."""
    value.set_names(set())
    for user in value.get_target_inputs():
        if user.get_node().get_type_name() == "Multiply":
            _forget_names(user.get_node().output(0))


def _fold(convolution: Any, order: list[int], factors: np.ndarray) -> None:
    given = convolution.input_value(1).get_node()
    weight = np.asarray(given.data, np.float64)
    folded = np.empty_like(weight)
    folded[:, order] = weight * factors.reshape(1, -1, *[1] * (weight.ndim - 2))
    constant = operators.constant(folded.astype(np.float32))
    constant.set_friendly_name(given.get_friendly_name())
    convolution.input(1).replace_source_output(constant.output(0))


def _key(value: Any) -> tuple[str, int]:
    return value.get_node().get_name(), value.get_index()
