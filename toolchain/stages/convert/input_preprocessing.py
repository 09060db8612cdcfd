"""Preprocessing of an input at the start of a graph: channels reversed, then scaled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from toolchain.runtimes.openvino_api import operators

SCALES = ("Multiply", "Divide")


@dataclass(frozen=True)
class Applied:
    """Preprocessing applied to one tensor.

    Attributes:
        raw: The tensor before.
        axis: Axis of the channels.
        result: The tensor after.
    """

    raw: Any
    axis: int
    result: Any


@dataclass
class InputPreprocessing:
    """Preprocessing of one input.

    Channel c of the result is channel `order[c]` of the input times `factors[c]`.

    Attributes:
        raw: The tensor before.
        axis: Axis of the channels of `raw`.
        output: The tensor after.
        order: Channels of `raw` in the order of the result.
        factors: One factor for each channel of the result.
        applied_to: Tensors to which `apply` applied it.
    """

    raw: Any
    axis: int
    output: Any
    order: list[int]
    factors: np.ndarray
    applied_to: list[Applied] = field(default_factory=list)

    @classmethod
    def find(cls, port: Any) -> InputPreprocessing | None:
        """Find the preprocessing of the input `port`; None if its channels are not reversed."""
        node = _find_reversal(port)
        if node is None:
            return None
        axis, order = get_gather_axis(node), get_constant(node.input_value(1))
        if axis is None or order is None:
            return None
        output, factors = node.output(0), np.ones(len(order))
        users = list(output.get_target_inputs())
        if len(users) == 1 and _is_scale(users[0]):
            scale = users[0].get_node()
            values = np.asarray(scale.input_value(1).get_node().data, np.float64).reshape(-1)
            output = scale.output(0)
            factors = factors * (1 / values if scale.get_type_name() == "Divide" else values)
        return cls(node.input_value(0), axis, output, order, factors)

    def apply(self, raw: Any, axis: int) -> Any:
        """Reverse and scale the channels of `raw`; repeated calls return the same tensor."""
        for applied in self.applied_to:
            if applied.axis == axis and _is_same(applied.raw, raw):
                return applied.result
        result = operators.gather(raw, np.array(self.order), np.array(axis)).output(0)
        if np.any(self.factors != 1):
            shape = [1] * len(raw.get_shape())
            shape[axis] = len(self.order)
            result = _multiply(result, self.factors.reshape(shape))
        self.applied_to.append(Applied(raw, axis, result))
        return result

    def scale(self, raw: Any, *, channel: int) -> Any:
        """Scale `raw`, a single channel, as this channel of the result."""
        return _multiply(raw, self.factors[channel].reshape([1] * len(raw.get_shape())))

    def set_names(self, raw: Any, axis: int, names: set[str]) -> None:
        """Set the names of the result for `raw`, if there is one."""
        for applied in self.applied_to:
            if applied.axis == axis and _is_same(applied.raw, raw):
                applied.result.set_names(names)


def get_gather_axis(gather: Any) -> int | None:
    """The axis, >= 0, that a Gather selects along; None if it is not known."""
    found = get_constant(gather.input_value(2))
    if found is None or gather.get_attributes().get("batch_dims", 0):
        return None
    return found[0] % len(gather.input_value(0).get_shape())


def get_constant(value: Any) -> list[int] | None:
    """The whole numbers of a constant; None if `value` is not a constant."""
    node = value.get_node()
    if node.get_type_name() != "Constant":
        return None
    return [int(item) for item in np.asarray(node.data).reshape(-1)]


def _find_reversal(port: Any) -> Any:
    """The Gather that reverses an input's channels, after changes of type and layout."""
    while True:
        users = list(port.get_target_inputs())
        if len(users) != 1:
            return None
        node = users[0].get_node()
        if node.get_type_name() == "Gather":
            order = get_constant(node.input_value(1))
            return node if order == list(range(len(order or ())))[::-1] else None
        if node.get_type_name() not in ("Convert", "Transpose"):
            return None
        port = node.output(0)


def _is_scale(user: Any) -> bool:
    node = user.get_node()
    return (
        node.get_type_name() in SCALES
        and user.get_index() == 0
        and node.input_value(1).get_node().get_type_name() == "Constant"
    )


def _multiply(value: Any, factors: np.ndarray) -> Any:
    return operators.multiply(value, operators.constant(factors.astype(np.float32))).output(0)


def _is_same(one: Any, other: Any) -> bool:
    return bool(
        one.get_node().get_name() == other.get_node().get_name()
        and one.get_index() == other.get_index()
    )
