"""Export a checkpoint to an ONNX file of fixed shapes.

Inputs `src`, `bgr`: float32, 1 x 3 x H x W, RGB 0..1.  Outputs `pha`: 1 x 1 x H x W, `fgr`:
1 x 3 x H x W, RGB 0..1.  No shape depends on the frame's content.  Where the number of patches is
fixed and small, they are refined as one image (`network.mosaic`); otherwise the whole frame is
refined and masked by the selection.  The numbers are those of the published, per-patch form.
The tensors between the stages of the network (`PROBES`) keep their names as inner tensors; refine
mode "full" has no selection and therefore no `ref_sm`.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch

from toolchain.checkpoints.load import load_network
from toolchain.definitions.architecture import Architecture
from toolchain.definitions.ports import INPUT_PORTS, INPUTS, OUTPUT_PORTS, OUTPUTS, PROBES
from toolchain.errors import ExportError
from toolchain.network.folding import fold
from toolchain.network.matting import MattingNetwork
from toolchain.network.mosaic import MosaicMatting, is_mosaic_suitable
from toolchain.network.refiner import Selection
from toolchain.stages.export.request import OPSET, ExportRequest, ExportResult
from toolchain.workspace.atomic import atomic_write
from toolchain.workspace.third_party import suppress_output

WRAPPER = "net."  # prefix of the network's names in `_Exported`
PRODUCER = "background-matting-toolchain"


def export(request: ExportRequest) -> ExportResult:
    """Write the ONNX file: the same bytes for the same checkpoint, settings and versions.

    Args:
        request: What to export.

    Returns:
        The file that was written.

    Raises:
        CheckpointError: The checkpoint is invalid.
        ExportError: The graph does not have the ports, shapes and operators described above, or is
            too large.
        WorkspaceError: The file cannot be written.
    """
    network = load_network(
        request.checkpoint,
        backbone_scale=request.settings.backbone_scale,
        selection=Selection.from_settings(request.settings),
        static=True,
    )
    architecture = network.architecture
    model = _trace(network, request)
    _clean(model, request, architecture)
    _check(model, request)
    data = model.SerializeToString(deterministic=True)
    if len(data) > architecture.onnx_limit:
        raise _fault(request, f"{len(data):,} bytes, expected at most {architecture.onnx_limit:,}")
    with atomic_write(request.onnx) as temporary:
        temporary.write_bytes(data)
        _load_in_onnx_runtime(temporary, request.onnx)
    return ExportResult(request.onnx, len(data), len(model.graph.node))


class _Exported(torch.nn.Module):
    """A network that returns the outputs and probes of the ONNX as a tuple."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, src: torch.Tensor, bgr: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs = self.net(src, bgr)
        return tuple(getattr(outputs, name) for name in (*OUTPUTS, *PROBES))


def _trace(network: MattingNetwork, request: ExportRequest) -> onnx.ModelProto:
    settings = request.settings
    static: torch.nn.Module = fold(network)
    if is_mosaic_suitable(network, settings.width, settings.height):
        static = MosaicMatting(network, settings.width, settings.height)
    # Two tensors, not one twice: the tracer takes the same object for the same input.
    frames = tuple(torch.zeros(1, 3, settings.height, settings.width) for _ in INPUTS)
    with suppress_output():
        program = torch.onnx.export(
            _Exported(static).eval(),
            frames,
            input_names=list(INPUTS),
            output_names=[*OUTPUTS, *PROBES],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _clean(model: onnx.ModelProto, request: ExportRequest, architecture: Architecture) -> None:
    """Give nodes readable names; remove what differs between machines (stack traces, paths)."""
    graph = model.graph
    del graph.output[len(OUTPUTS) :]
    read = {name for node in graph.node for name in node.input}
    unread = [item for item in graph.initializer if item.name not in read]
    for initializer in unread:  # in mode "full", the selection is a constant without readers
        graph.initializer.remove(initializer)
    used: Counter[str] = Counter()
    for node in graph.node:
        name = _make_readable_name(node)
        used[name] += 1
        node.name = name if used[name] == 1 else f"{name}_{used[name]}"
        del node.metadata_props[:]
        node.doc_string = ""
        node.input[:] = [name.removeprefix(WRAPPER) for name in node.input]
    for value in (*graph.initializer, *graph.value_info, *graph.input, *graph.output):
        del value.metadata_props[:]
        value.doc_string = ""
    for initializer in graph.initializer:
        initializer.name = initializer.name.removeprefix(WRAPPER)
    graph.name = architecture.model_name
    del graph.metadata_props[:]
    del model.metadata_props[:]
    facts = dict(request.facts)
    onnx.helper.set_model_props(model, facts)
    model.producer_name = PRODUCER
    model.producer_version = facts.get("toolchain", "")
    model.doc_string = (
        "src, bgr: float32 NCHW RGB 0..1. pha: alpha matte 0..1. fgr: foreground RGB 0..1."
    )


def _make_readable_name(node: onnx.NodeProto) -> str:
    """`decoder.conv1/Conv`: the module that the node comes from, and its operator."""
    scopes = next((p.value for p in node.metadata_props if p.key.endswith("name_scopes")), "")
    parts = [part.strip(" '\"") for part in scopes.strip("[]").split(",")]
    modules = [part.removeprefix(WRAPPER) for part in parts[:-1] if part not in ("", "net")]
    return "/".join([modules[-1] if modules else "frame", node.op_type])


def _check(model: onnx.ModelProto, request: ExportRequest) -> None:
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise _fault(request, f"onnx.checker: {error}") from error
    size = [request.settings.height, request.settings.width]
    expected = {port.name: [1, port.channels, *size] for port in (*INPUT_PORTS, *OUTPUT_PORTS)}
    found = {value.name: _get_shape(value) for value in (*model.graph.input, *model.graph.output)}
    if list(found.items()) != list(expected.items()):
        raise _fault(request, f"expected inputs and outputs {expected}, found {found}")
    for value in onnx.shape_inference.infer_shapes(model).graph.value_info:
        if not all(isinstance(length, int) and length > 0 for length in _get_shape(value)):
            raise _fault(
                request, f"the tensor {value.name} has a dynamic shape {_get_shape(value)}"
            )
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise _fault(request, f"the node {node.name} is a custom operator of {node.domain}")
        if any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute):
            raise _fault(request, f"the node {node.name} is control flow ({node.op_type})")


def _fault(request: ExportRequest, fault: str) -> ExportError:
    return ExportError(
        f"{request.onnx}: {fault}",
        kept="No ONNX was written.",
        hint="This is a fault of the toolchain or of the exporter's version: please report it.",
    )


def _get_shape(value: Any) -> list[int | str]:
    dims = value.type.tensor_type.shape.dim
    return [d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in dims]


def _load_in_onnx_runtime(path: Path, target: Path) -> None:
    """Load the file at `path`; messages name `target`, where it is published."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no public base class of its errors
        raise ExportError(
            f"{target}: ONNX Runtime cannot load it: {error}", kept="No ONNX was written."
        ) from error
