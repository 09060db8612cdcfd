"""Order and scale of channels folded into the weights of the convolutions that read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from toolchain.runtimes.openvino_api import operators
from toolchain.stages.convert.input_preprocessing import InputPreprocessing

CHANNELS = 1  # the axis of a convolution's input


def fold_into_weights(model: Any, preprocessings: Sequence[InputPreprocessing]) -> None:
    """Fold preprocessing into weights, in place.

    Applies where preprocessed tensors are concatenated along the channels (the frame and its clean
    plate), and the result is only read by convolutions with constant weights, possibly after a
    multiplication by one plane for all channels (a mask).

    Args:
        model: The graph.
        preprocessings: Those of its inputs.
    """
    preprocessed = {
        _get_key(applied.result): (applied.raw, preprocessing)
        for preprocessing in preprocessings
        for applied in preprocessing.applied_to
        if applied.axis == CHANNELS
    }
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Concat" or node.get_attributes()["axis"] != CHANNELS:
            continue
        parts = [preprocessed.get(_get_key(value)) for value in node.input_values()]
        convolutions = _find_convolutions(node.output(0))
        if None in parts or not convolutions:
            continue
        _remove_names(node.output(0))
        order: list[int] = []
        factors: list[np.ndarray] = []
        for index, (raw, preprocessing) in enumerate(part for part in parts if part is not None):
            node.input(index).replace_source_output(raw)
            offset = len(factors) * len(preprocessing.order)
            order += [offset + place for place in preprocessing.order]
            factors.append(preprocessing.factors)
        for convolution in convolutions:
            _fold(convolution, order, np.concatenate(factors))


def _find_convolutions(value: Any) -> list[Any]:
    """The convolutions that read `value`, empty if anything else does."""
    found = []
    for user in value.get_target_inputs():
        node, kind = user.get_node(), user.get_node().get_type_name()
        further = []
        if kind == "Convolution" and user.get_index() == 0 and _is_constant(node.input_value(1)):
            further = [node]
        elif kind == "Multiply" and _is_mask(node.input_value(1 - user.get_index()), value):
            further = _find_convolutions(node.output(0))
        if not further:
            return []
        found += further
    return found


def _is_constant(value: Any) -> bool:
    return bool(value.get_node().get_type_name() == "Constant")


def _is_mask(factor: Any, value: Any) -> bool:
    """Whether `factor` is the same for all channels of `value`."""
    shapes = factor.get_partial_shape(), value.get_partial_shape()
    if any(shape.is_dynamic for shape in shapes):
        return False
    mask, masked = (list(shape.to_shape()) for shape in shapes)
    return len(mask) == len(masked) and mask[CHANNELS] == 1


def _remove_names(value: Any) -> None:
    """Remove the names of the tensors up to the convolutions: they are not preprocessed now."""
    value.set_names(set())
    for user in value.get_target_inputs():
        if user.get_node().get_type_name() == "Multiply":
            _remove_names(user.get_node().output(0))


def _fold(convolution: Any, order: list[int], factors: np.ndarray) -> None:
    given = convolution.input_value(1).get_node()
    weight = np.asarray(given.data, np.float64)
    folded = np.empty_like(weight)
    folded[:, order] = weight * factors.reshape(1, -1, *[1] * (weight.ndim - 2))
    constant = operators.constant(folded.astype(np.float32))
    constant.set_friendly_name(given.get_friendly_name())
    convolution.input(1).replace_source_output(constant.output(0))


def _get_key(value: Any) -> tuple[str, int]:
    return value.get_node().get_name(), value.get_index()
