"""The network as Open Model Zoo exported it, with the same weights: the baseline.

What upstream's exporter writes for `roi_align` crops (or per-pixel gathers), `scatter_element`
and a dynamic number of patches; read off BackgroundMattingV2's published refiner.  The base
network and the resizes are exported by PyTorch, the rest is written node by node.
"""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from toolchain.checkpoints.load import load_network
from toolchain.network.folding import fold
from toolchain.network.matting import MattingNetwork
from toolchain.network.resize import bilinear

Crops = Literal["roi_align", "gather"]
OPSET = 18
OUTPUTS = ("coarse_full", "half_hidden", "half_frames", "frames", "err", "src_again")


class _UpToCrops(nn.Module):
    """The network before the selection, padded for the crops."""

    def __init__(self, network: MattingNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, src: Tensor, bgr: Tensor) -> tuple[Tensor, ...]:
        height, width = src.shape[2:]
        both = torch.cat([src, bgr], 1)
        scale = self.network.backbone_scale
        base = self.network.base(bilinear(both, (int(height * scale), int(width * scale))))
        coarse = torch.cat([base.pha, base.fgr], 1)
        half = (height // 2, width // 2)
        return (
            bilinear(coarse, (height, width)),
            functional.pad(bilinear(torch.cat([base.hid, coarse], 1), half), (3, 3, 3, 3)),
            functional.pad(bilinear(both, half), (3, 3, 3, 3)),
            functional.pad(both, (2, 2, 2, 2)),
            bilinear(base.err, (height // 4, width // 4)),
            src + 0.0,
        )


class _Graph:
    """A list of nodes."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        self._count = 0

    def node(self, kind: str, *inputs: str, to: str = "", **attributes: Any) -> str:
        """Append a node; its output is called `to`; `to_` is the attribute of that name."""
        self._count += 1
        name = to or f"y{self._count}"
        if "to_" in attributes:
            attributes["to"] = attributes.pop("to_")
        self.graph.node.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def const(self, value: object, dtype: type = np.int64) -> str:
        self._count += 1
        name = f"c{self._count}"
        array: np.ndarray = np.asarray(value.numpy() if isinstance(value, Tensor) else value, dtype)
        self.graph.initializer.append(numpy_helper.from_array(array, name))
        return name


def write(weights: Path, target: Path, width: int, height: int, crops: Crops) -> None:
    """The graph as ONNX: RGB 0..1 in, `pha` and `fgr` out, 80,000 pixels refined."""
    network = fold(load_network(weights))
    model = _exported(network, width, height)
    del model.graph.output[:]
    graph = _Graph(model)
    cells = _chosen(graph, width, height)
    x = graph.node(
        "Concat",
        _crop(graph, "half_hidden", cells, 2, 3, (36, height // 2 + 6, width // 2 + 6), crops),
        _crop(graph, "half_frames", cells, 2, 3, (6, height // 2 + 6, width // 2 + 6), crops),
        axis=1,
    )
    refiner = network.refiner
    x = _convolved(graph, x, refiner.conv1, relu=True)
    x = _convolved(graph, x, refiner.conv2, relu=True)
    x = graph.node(
        "Resize", x, "", graph.const([1, 1, 2, 2], np.float32), mode="nearest",
        coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip
    full = _crop(graph, "frames", cells, 4, 2, (6, height + 4, width + 4), crops)
    x = graph.node("Concat", x, full, axis=1)
    x = _convolved(graph, x, refiner.conv3, relu=True)
    x = _convolved(graph, x, refiner.conv4, relu=False)
    where = _pixels(graph, cells, 4, 0, (4, height, width))
    flat = graph.node("Reshape", "coarse_full", graph.const([-1]))
    values = graph.node("Reshape", x, graph.const([-1]))
    flat = graph.node(
        "ScatterElements", flat, graph.node("Reshape", where, graph.const([-1])), values
    )
    out = graph.node("Reshape", flat, graph.const([1, 4, height, width]))
    alpha, rest = (
        graph.node("Slice", out, graph.const([first]), graph.const([last]), graph.const([1]))
        for first, last in ((0, 1), (1, 4))
    )
    rest = graph.node("Add", rest, "src_again")
    zero, one = graph.const(0, np.float32), graph.const(1, np.float32)
    for name, value, channels in (("pha", alpha, 1), ("fgr", rest, 3)):
        graph.node("Clip", value, zero, one, to=name)
        info = helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, height, width])
        model.graph.output.append(info)
    onnx.checker.check_model(model)
    onnx.save(model, target)


def _exported(network: MattingNetwork, width: int, height: int) -> onnx.ModelProto:
    frames = tuple(torch.zeros(1, 3, height, width) for _ in "ab")
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                _UpToCrops(network).eval(), frames, input_names=["src", "bgr"],
                output_names=list(OUTPUTS), opset_version=OPSET, dynamo=True, verbose=False,
            )  # fmt: skip
    finally:
        logging.disable(logging.NOTSET)
    assert program is not None
    return program.model_proto


def _chosen(graph: _Graph, width: int, height: int) -> tuple[str, str]:
    """Row and column of each refined cell, int64, as many as there are."""
    cells = (height // 4) * (width // 4)
    flat = graph.node("Reshape", "err", graph.const([1, cells]))
    graph.graph.node.append(
        helper.make_node("TopK", [flat, graph.const([5_000])], ["best", "best_at"], axis=1)
    )
    zeros = graph.const(np.zeros((1, cells)), np.float32)
    ones = graph.const(np.ones((1, 5_000)), np.float32)
    ref = graph.node("ScatterElements", zeros, "best_at", ones, axis=1)
    above = graph.node("Cast", graph.node("Greater", flat, graph.const(0, np.float32)), to_=1)
    ref = graph.node("Mul", ref, above)
    ref = graph.node("Reshape", ref, graph.const([height // 4, width // 4]))
    at = graph.node("NonZero", ref)
    row, column = (graph.node("Gather", at, graph.const(index), axis=0) for index in range(2))
    return row, column


def _crop(
    graph: _Graph,
    x: str,
    cells: tuple[str, str],
    size: int,
    halo: int,
    shape: tuple[int, int, int],
    crops: Crops,
) -> str:
    side = size + 2 * halo
    if crops == "gather":
        where = _pixels(graph, cells, size, halo, shape)
        return graph.node("Gather", graph.node("Reshape", x, graph.const([-1])), where, axis=0)
    row, column = (graph.node("Cast", cell, to_=1) for cell in cells)
    scale, shift = graph.const(size, np.float32), graph.const(-0.5, np.float32)
    top, left = (graph.node("Add", graph.node("Mul", at, scale), shift) for at in (row, column))
    far = graph.const(side, np.float32)
    corners = (left, top, graph.node("Add", left, far), graph.node("Add", top, far))
    boxes = graph.node(
        "Concat",
        *(graph.node("Unsqueeze", corner, graph.const([1])) for corner in corners),
        axis=1,
    )
    batch = graph.node("Mul", cells[0], graph.const(0))
    return graph.node(
        "RoiAlign", x, boxes, batch, output_height=side, output_width=side, sampling_ratio=1,
        coordinate_transformation_mode="output_half_pixel",
    )  # fmt: skip


def _pixels(
    graph: _Graph, cells: tuple[str, str], size: int, halo: int, shape: tuple[int, int, int]
) -> str:
    """Flat index of every pixel of every window, N x C x side x side."""
    channels, height, width = shape
    side = size + 2 * halo
    plane = np.arange(channels).reshape(1, -1, 1, 1) * height * width
    down = np.arange(side).reshape(1, 1, -1, 1) * width
    offsets = graph.const(plane + down + np.arange(side).reshape(1, 1, 1, -1))
    row, column = (graph.node("Reshape", cell, graph.const([-1, 1, 1, 1])) for cell in cells)
    start = graph.node(
        "Add",
        graph.node("Mul", row, graph.const(size * width)),
        graph.node("Mul", column, graph.const(size)),
    )
    return graph.node("Add", start, offsets)


def _convolved(graph: _Graph, x: str, convolution: nn.Conv2d, *, relu: bool) -> str:
    assert convolution.bias is not None
    weight = graph.const(convolution.weight.detach(), np.float32)
    bias = graph.const(convolution.bias.detach(), np.float32)
    y = graph.node("Conv", x, weight, bias)
    return graph.node("Relu", y) if relu else y
