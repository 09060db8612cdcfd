"""What a graph computes from the clean plate alone, cut off, to be run once for many frames."""

from __future__ import annotations

from typing import Any

from toolchain.runtimes.openvino_api import openvino, operators

PLATE = "bgr"


def split_plate_subgraph(model: Any) -> tuple[Any, Any] | None:
    """The part of `model` that hangs on the plate alone, and the rest; together the same numbers.

    The first part takes the plate; what it gives, in order, the rest takes after its other inputs.
    None where the plate meets the frame before anything is computed from it.  Changes `model`.
    """
    alone = _alone(model)
    edges = [
        (port, outside)
        for node in model.get_ordered_ops()
        if node.get_name() in alone
        for port in node.outputs()
        if (outside := [user for user in port.get_target_inputs() if not _within(user, alone)])
    ]
    (plate,) = (one for one in model.get_parameters() if PLATE in one.output(0).get_names())
    if not edges or any(port.get_node().get_name() == plate.get_name() for port, _ in edges):
        return None
    part = openvino.Model([port for port, _ in edges], [plate]).clone()
    taken = []
    for port, outside in edges:
        parameter = operators.parameter(port.get_shape(), port.get_element_type())
        for user in outside:
            user.replace_source_output(parameter.output(0))
        taken.append(parameter)
    others = [one for one in model.get_parameters() if one.get_name() != plate.get_name()]
    return part, openvino.Model(model.get_results(), [*others, *taken])


def _alone(model: Any) -> set[str]:
    """The names of the nodes that hang on the plate and on nothing else that varies."""
    alone: set[str] = set()
    mixed: set[str] = set()
    for node in model.get_ordered_ops():
        before = {value.get_node().get_name() for value in node.input_values()}
        if node.get_type_name() == "Parameter":
            (alone if PLATE in node.output(0).get_names() else mixed).add(node.get_name())
        elif before & mixed:
            mixed.add(node.get_name())
        elif before & alone:
            alone.add(node.get_name())
    return alone


def _within(user: Any, names: set[str]) -> bool:
    return user.get_node().get_name() in names
