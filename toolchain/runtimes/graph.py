"""The exported graph as a list of tensors: the node, the inputs and the shape of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from toolchain.metrics.matching import Step

NETWORK = "frame"  # scope of nodes that belong to no module
DECIDING = ("TopK", "Greater", "Less", "Equal", "GreaterOrEqual", "LessOrEqual", "ArgMax")
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BOOL)


@dataclass(frozen=True)
class Tensor:
    """One computed tensor, float or boolean.

    `node`: name of the node that computes it; `operator`: type of that node.  `inputs`: the tensors
    it is computed from, model inputs included, weights not.  `chosen`: whether it depends on a
    choice (top-k, a comparison), which nearly equal values may change.  `after`: whether it, or a
    tensor it depends on, is an output of top-k.  `ranked`: whether its patches are in the order of
    top-k.
    """

    name: str
    node: str
    operator: str
    attributes: dict[str, Any]
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    chosen: bool
    after: bool
    ranked: bool

    @property
    def size(self) -> int:
        """Size in bytes as float32."""
        return 4 * int(np.prod(self.shape, dtype=np.int64))

    @property
    def step(self) -> Step:
        """The step of the original that computes this tensor."""
        scope = self.node.rpartition("/")[0]
        return Step("" if scope == NETWORK else scope, self.operator, self.shape)


@dataclass(frozen=True)
class Ranking:
    """How the graph selects patches.

    Attributes:
        places: Tensor of the selected cells, and of one more place that is not used.
        crowding: Number of cells for each that is selected.
    """

    places: str
    crowding: float


def read_ranking(path: Path) -> Ranking | None:
    """Read how an ONNX file selects patches; None if it refines none or all."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    typed = {item.name: item.type.tensor_type for item in (*graph.value_info, *graph.output)}
    selecting = (node for node in graph.node if _selects_cells(node, typed))
    for node in selecting:
        given, taken = (
            np.prod([size.dim_value for size in typed[name].shape.dim])
            for name in (node.input[1], node.output[0])
        )
        return Ranking(node.output[0], float(given / (taken - 1)))
    return None


def _selects_cells(node: Any, typed: Mapping[str, Any]) -> bool:
    """Whether a node scatters the indices of the selected cells into a list."""
    kind = typed.get(node.output[0])
    return (
        node.op_type.startswith("Scatter")
        and kind is not None
        and kind.elem_type in (onnx.TensorProto.INT32, onnx.TensorProto.INT64)
    )


def read_graph(path: Path) -> tuple[Tensor, ...]:
    """Read the computed tensors of an ONNX file in execution order, without those of ties."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    typed = {item.name: item.type.tensor_type for item in (*graph.value_info, *graph.output)}
    known = {item.name for item in graph.input}
    owner = {name: name for name in known}  # sources of values that are not compared themselves
    chosen: set[str] = set()
    after: set[str] = set()
    ranked: set[str] = set()  # until they are scattered to their places
    ties: set[str] = set()  # order of equal values: not defined, differs between runtimes
    tensors = []
    for node in graph.node:
        name = node.output[0]
        inputs = tuple(dict.fromkeys(owner[item] for item in node.input if item in owner))
        if not inputs:  # computed from constants only
            continue
        owner.update((output, name) for output in node.output)
        undecided = not chosen.intersection(node.input)
        if node.op_type in DECIDING:  # of the outputs of top-k, only the indices are a choice
            chosen.update(node.output[1:] if node.op_type == "TopK" else node.output)
        if not undecided:
            chosen.update(node.output)
        top = _selects_cells(node, typed)
        if top or after.intersection(node.input):
            after.update(node.output)
        if top or (ranked.intersection(node.input) and not node.op_type.startswith("Scatter")):
            ranked.update(node.output)
        if _breaks_ties(node, typed, ties):
            ties.update(node.output)
            continue
        kind = typed.get(name)
        if kind is None or kind.elem_type not in FLOATS:
            continue
        tensors.append(
            Tensor(
                name,
                node.name,
                node.op_type,
                {
                    item.name: _plain(onnx.helper.get_attribute_value(item))
                    for item in node.attribute
                },
                inputs,
                tuple(size.dim_value for size in kind.shape.dim),
                name in chosen,
                name in after,
                name in ranked,
            )
        )
    return tuple(tensors)


def _breaks_ties(node: Any, typed: Mapping[str, Any], ties: set[str]) -> bool:
    """Whether a node finds equal values, counts them, or combines such results."""
    if node.op_type == "And":
        return bool(ties.intersection(node.input))
    kind = typed.get(node.input[0])
    counts = kind is not None and kind.elem_type not in FLOATS
    return node.op_type == "Equal" or (node.op_type in DECIDING and counts)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, int | float | str):
        return value
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else str(value)
