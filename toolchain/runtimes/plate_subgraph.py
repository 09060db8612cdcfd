"""The subgraph that depends on the clean plate alone, split off to run once for many frames."""

from __future__ import annotations

from typing import Any

from toolchain.runtimes.openvino_api import openvino, operators

PLATE = "bgr"


def split_plate_subgraph(model: Any) -> tuple[Any, Any] | None:
    """Split a graph into the part that depends on the plate alone, and the rest.

    Args:
        model: The graph; it is changed.

    Returns:
        Two graphs that together compute the same values.  The first takes the plate; the second
        takes the outputs of the first, in order, after its other inputs.  None if nothing is
        computed from the plate alone.
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
    """List the nodes that depend on the plate and on no other input."""
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
