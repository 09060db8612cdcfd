"""What preprocessing does at the head of a graph to an input: channels reversed, then scaled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from toolchain.runtimes.openvino_api import operators

SCALES = ("Multiply", "Divide")


@dataclass(frozen=True)
class Applied:
    """A tensor to which it was done: what it was made of, whose channels lie on `axis`."""

    raw: Any
    axis: int
    made: Any


@dataclass
class Head:
    """`raw`: the tensor before, channels on `axis`; `output`: after.

    Channel c of the output is channel `order[c]` of `raw` times `factors[c]`.
    """

    raw: Any
    axis: int
    output: Any
    order: list[int]
    factors: np.ndarray
    applied_to: list[Applied] = field(default_factory=list)

    @classmethod
    def of(cls, port: Any) -> Head | None:
        """What is done to the input `port`; None if channels are not reversed there."""
        node = _reversal(port)
        if node is None:
            return None
        axis, order = axis_of(node), values_of(node.input_value(1))
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

    def applied(self, raw: Any, axis: int) -> Any:
        """`raw` with its channels in order and scaled; the same tensor for all who ask."""
        for done in self.applied_to:
            if done.axis == axis and _same(done.raw, raw):
                return done.made
        made = operators.gather(raw, np.array(self.order), np.array(axis)).output(0)
        if np.any(self.factors != 1):
            shape = [1] * len(raw.get_shape())
            shape[axis] = len(self.order)
            made = _times(made, self.factors.reshape(shape))
        self.applied_to.append(Applied(raw, axis, made))
        return made

    def scaled(self, raw: Any, *, channel: int) -> Any:
        """`raw`, a single channel that is to be this `channel`, scaled."""
        return _times(raw, self.factors[channel].reshape([1] * len(raw.get_shape())))

    def name(self, raw: Any, axis: int, names: set[str]) -> None:
        """Give names to what was made of `raw`, if anything was."""
        for done in self.applied_to:
            if done.axis == axis and _same(done.raw, raw):
                done.made.set_names(names)


def axis_of(gather: Any) -> int | None:
    """The axis that a Gather picks along, from 0; None if it is not known."""
    found = values_of(gather.input_value(2))
    if found is None or gather.get_attributes().get("batch_dims", 0):
        return None
    return found[0] % len(gather.input_value(0).get_shape())


def values_of(value: Any) -> list[int] | None:
    """Whole numbers that are constant; None if `value` is not."""
    node = value.get_node()
    if node.get_type_name() != "Constant":
        return None
    return [int(item) for item in np.asarray(node.data).reshape(-1)]


def _reversal(port: Any) -> Any:
    """The Gather that reverses an input's channels, behind changes of type and layout."""
    while True:
        users = list(port.get_target_inputs())
        if len(users) != 1:
            return None
        node = users[0].get_node()
        if node.get_type_name() == "Gather":
            order = values_of(node.input_value(1))
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


def _times(value: Any, factors: np.ndarray) -> Any:
    return operators.multiply(value, operators.constant(factors.astype(np.float32))).output(0)


def _same(one: Any, other: Any) -> bool:
    return bool(
        one.get_node().get_name() == other.get_node().get_name()
        and one.get_index() == other.get_index()
    )
