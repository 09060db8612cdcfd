"""A lower and an upper bound as one node: what reading ONNX makes of a Clip is two."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.runtimes.openvino_api import operators


def join_bounds(model: Any) -> None:
    """Replace every maximum with a number followed by a minimum with one, in place.

    The same numbers; the fewer nodes a graph has, the faster it loads.
    """
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Minimum":
            continue
        high, inner = _bound(node)
        if high is None or inner.get_node().get_type_name() != "Maximum":
            continue
        low, value = _bound(inner.get_node())
        if low is None or low > high or len(inner.get_target_inputs()) != 1:
            continue
        if value.get_element_type().get_type_name() != "f32":
            continue
        made = operators.clamp(value, low, high)
        made.set_friendly_name(node.get_friendly_name())
        names = node.output(0).get_names()
        for user in node.output(0).get_target_inputs():
            user.replace_source_output(made.output(0))
        made.output(0).set_names(names)


def _bound(node: Any) -> tuple[float | None, Any]:
    """The number that an input of `node` is, None without one, and the other input."""
    for index in range(2):
        given = node.input_value(index).get_node()
        if given.get_type_name() == "Constant" and np.asarray(given.data).size == 1:
            return float(np.asarray(given.data).reshape(-1)[0]), node.input_value(1 - index)
    return None, None
