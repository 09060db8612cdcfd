"""Export: a checkpoint into an ONNX file of fixed shapes.

Inputs `src`, `bgr`: float32, 1 x 3 x H x W, RGB 0..1.  Outputs `pha`: 1 x 1 x H x W, `fgr`:
1 x 3 x H x W, RGB 0..1.  No shape depends on the frame's content: the patches, fixed in number,
are refined as one picture (`network.mosaic`), or, where they may be many, the whole frame is
refined and masked by the selection.  The numbers are those of the published, per-patch form.
What the network's stages hand on (`PROBES`) keeps its name as an inner tensor
(in mode "full" there is no selection, and no `ref_sm`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.catalog.arguments import ExportSettings
from toolchain.definitions.ports import INPUTS, OUTPUTS, PROBES
from toolchain.errors import ExportError
from toolchain.workspace.atomic import atomic_write
from toolchain.workspace.third_party import suppress_output

if TYPE_CHECKING:
    import onnx

OPSET = 18
SIZE_LIMIT = 21_000_000
WRAPPER = "net."  # the network's place in the module that picks the outputs
PRODUCER = "background-matting-toolchain"


@dataclass(frozen=True)
class ExportRequest:
    """`facts`: pairs for the file's metadata (source digest, versions, licence, weights)."""

    checkpoint: Path
    onnx: Path
    settings: ExportSettings
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ExportResult:
    """`size` in bytes; `nodes`: how many the graph has."""

    onnx: Path
    size: int
    nodes: int
    opset: int


def export(request: ExportRequest) -> ExportResult:
    """Write `request.onnx`, the same bytes for the same checkpoint, settings and versions.

    Raises CheckpointError for a bad checkpoint, ExportError if the result does not hold what
    the module's first lines promise, WorkspaceError if it can't be written.
    """
    import onnx

    model = _trace(request)
    _tidy(model, request)
    _check(model, request)
    data = model.SerializeToString(deterministic=True)
    if len(data) > SIZE_LIMIT:
        raise ExportError(
            f"{request.onnx}: {len(data):,} bytes, expected at most {SIZE_LIMIT:,}",
            kept="Nothing was written.",
            hint="This is a fault of the toolchain or of the exporter's version: please report it.",
        )
    with atomic_write(request.onnx) as temporary:
        temporary.write_bytes(data)
        _load_in_onnx_runtime(temporary, request.onnx)
    nodes = len(model.graph.node)
    assert isinstance(model, onnx.ModelProto)
    return ExportResult(request.onnx, len(data), nodes, OPSET)


def _trace(request: ExportRequest) -> onnx.ModelProto:
    import torch

    from toolchain.network.checkpoint import load_network
    from toolchain.network.folding import fold
    from toolchain.network.mosaic import MosaicMatting, worth_it
    from toolchain.network.refiner import Selection

    settings = request.settings
    network = load_network(
        request.checkpoint,
        backbone_scale=settings.backbone_scale,
        selection=Selection(settings.mode, settings.sample_pixels, settings.threshold),
        static=True,
    )

    static: torch.nn.Module = fold(network)
    if worth_it(network, settings.width, settings.height):
        static = MosaicMatting(network, settings.width, settings.height)

    class Exported(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = static

        def forward(self, src: torch.Tensor, bgr: torch.Tensor) -> tuple[torch.Tensor, ...]:
            outputs = self.net(src, bgr)
            return tuple(getattr(outputs, name) for name in (*OUTPUTS, *PROBES))

    # Two tensors, not one twice: the tracer takes the same object for the same input.
    frames = tuple(torch.zeros(1, 3, settings.height, settings.width) for _ in INPUTS)
    with suppress_output():
        program = torch.onnx.export(
            Exported().eval(),
            frames,
            input_names=list(INPUTS),
            output_names=[*OUTPUTS, *PROBES],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _tidy(model: onnx.ModelProto, request: ExportRequest) -> None:
    """Keep what a reader needs, drop what differs between machines (stack traces, paths)."""
    import onnx

    graph = model.graph
    del graph.output[len(OUTPUTS) :]
    read = {name for node in graph.node for name in node.input}
    unread = [item for item in graph.initializer if item.name not in read]
    for initializer in unread:  # in mode "full" the selection is a constant that nobody reads
        graph.initializer.remove(initializer)
    used: dict[str, int] = {}
    for node in graph.node:
        name = _readable_name(node)
        count = used[name] = used.get(name, 0) + 1
        node.name = name if count == 1 else f"{name}_{count}"
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*graph.initializer, *graph.value_info, *graph.input, *graph.output):
        del value.metadata_props[:]
        value.doc_string = ""
    for initializer in graph.initializer:
        initializer.name = initializer.name.removeprefix(WRAPPER)
    for node in graph.node:
        node.input[:] = [name.removeprefix(WRAPPER) for name in node.input]
    graph.name = "background-matting-mobilenetv2"
    del graph.metadata_props[:]
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(request.facts))
    model.producer_name = PRODUCER
    model.producer_version = dict(request.facts).get("toolchain", "")
    model.doc_string = (
        "src, bgr: float32 NCHW RGB 0..1. pha: alpha matte 0..1. fgr: foreground RGB 0..1."
    )


def _readable_name(node: onnx.NodeProto) -> str:
    """`decoder.conv1/Conv`: the module that the node came from, and its operator."""
    scopes = next((p.value for p in node.metadata_props if p.key.endswith("name_scopes")), "")
    parts = [part.strip(" '\"") for part in scopes.strip("[]").split(",")]
    modules = [part.removeprefix(WRAPPER) for part in parts[:-1] if part not in ("", "net")]
    return "/".join([modules[-1] if modules else "frame", node.op_type])


def _check(model: onnx.ModelProto, request: ExportRequest) -> None:
    import onnx

    def refuse(what: str) -> ExportError:
        return ExportError(
            f"{request.onnx}: {what}",
            kept="Nothing was written.",
            hint="This is a fault of the toolchain or of the exporter's version: please report it.",
        )

    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise refuse(f"onnx.checker: {error}") from error
    settings = request.settings
    expected = {
        "src": [1, 3, settings.height, settings.width],
        "bgr": [1, 3, settings.height, settings.width],
        "pha": [1, 1, settings.height, settings.width],
        "fgr": [1, 3, settings.height, settings.width],
    }
    found = {value.name: _shape(value) for value in (*model.graph.input, *model.graph.output)}
    if list(found.items()) != list(expected.items()):
        raise refuse(f"expected inputs and outputs {expected}, found {found}")
    for value in onnx.shape_inference.infer_shapes(model).graph.value_info:
        if not all(isinstance(size, int) and size > 0 for size in _shape(value)):
            raise refuse(f"the tensor {value.name} has a dynamic shape {_shape(value)}")
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise refuse(f"the node {node.name} is a custom operator of {node.domain}")
        if any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute):
            raise refuse(f"the node {node.name} is control flow ({node.op_type})")


def _shape(value: Any) -> list[int | str]:
    dims = value.type.tensor_type.shape.dim
    return [d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in dims]


def _load_in_onnx_runtime(path: Path, named: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no public base class of its errors
        raise ExportError(
            f"{named}: ONNX Runtime can't load it: {error}", kept="Nothing was written."
        ) from error
