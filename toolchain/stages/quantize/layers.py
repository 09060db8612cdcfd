"""Convolutions of an IR by the network's layer names, and groups that are ignored together."""

from __future__ import annotations

from typing import Any

from toolchain.definitions.architecture import RESIZE_CONVOLUTIONS

CONVOLUTIONS = ("Convolution", "GroupConvolution")
DATA = ("Constant", "Parameter", "Result")


def find_convolutions(model: Any) -> dict[str, str]:
    """Map the node of each convolution to its layer ("decoder.conv1"), in order of computation.

    A convolution with a bias is two nodes in OpenVINO, of which the addition has the name.
    """
    found = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() in CONVOLUTIONS:
            (reader, *_) = node.output(0).get_target_inputs()
            names = node.get_friendly_name(), reader.get_node().get_friendly_name()
            named = next((name for name in names if "/Conv" in name), names[0])
            layer = named.partition("/Conv")[0]
            if not is_in_layers(layer, RESIZE_CONVOLUTIONS):
                found[names[0]] = layer
    return found


def list_convolution_nodes(model: Any) -> set[str]:
    """List the nodes of all convolutions, fixed resizes included."""
    return {n.get_friendly_name() for n in model.get_ops() if n.get_type_name() in CONVOLUTIONS}


def list_node_types(model: Any) -> set[str]:
    """List the types of all nodes, except constants and ports."""
    return {node.get_type_name() for node in model.get_ops()} - set(DATA)


def is_in_layers(layer: str, names: tuple[str, ...]) -> bool:
    """Whether `layer` is one of `names`, or a part of one."""
    return any(layer == name or layer.startswith(f"{name}.") for name in names)


def group_layers(model: Any) -> list[tuple[str, ...]]:
    """Group the layers, in order of computation.

    Blocks of the backbone whose outputs have the same size are a group; ASPP is a group; every
    convolution of the decoder and the refiner is a group.
    """
    layers = find_convolutions(model)
    heights: dict[str, int] = {}  # of a block's output: that of its last convolution
    for node in model.get_ordered_ops():
        layer = layers.get(node.get_friendly_name())
        if layer is not None:
            heights[_get_block(layer)] = node.get_output_partial_shape(0)[2].get_length()
    found: dict[tuple[str, int], list[str]] = {}
    for block, height in heights.items():
        part = block.partition(".")[0]
        key = (part, height) if part == "backbone" else (block, 0)
        found.setdefault(key, []).append(block)
    return [tuple(blocks) for blocks in found.values()]


def _get_block(layer: str) -> str:
    parts = layer.split(".")
    return ".".join(parts[: {"backbone": 3, "aspp": 1}.get(parts[0], 2)])
