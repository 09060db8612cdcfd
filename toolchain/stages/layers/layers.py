"""The work of the layers stage.

Inner tensors of the original (PyTorch, f32), the ONNX and the IRs, matched by name and structure,
are compared on one frame.  The first one over its limit, whose inputs are within theirs, is the
place to look.  Tensors are read in batches that fit in memory, or by bisection, one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict

import numpy as np

from toolchain.catalog.records import Limits, limits_for
from toolchain.definitions.ports import OUTPUTS
from toolchain.definitions.variants import ONNX, Variant, hints_of
from toolchain.frames.frame import Frame
from toolchain.frames.generated import composite
from toolchain.frames.pairs import load_pair, read_pairs
from toolchain.metrics.bisection import find_first_bad
from toolchain.metrics.differences import mask_outside
from toolchain.progress import Listener, SilentListener
from toolchain.runtimes.base import to_inference
from toolchain.runtimes.graph import Tensor, read_graph, read_ranking
from toolchain.runtimes.intermediates import Intermediates, IrIntermediates, OnnxIntermediates
from toolchain.runtimes.layerwise import OriginalTensors, VariantTensors
from toolchain.runtimes.operator_recorder import OperatorRecorder
from toolchain.runtimes.pytorch import PyTorchRuntime
from toolchain.stages.layers.request import LayersRequest, LayersResult
from toolchain.workspace.atomic import nan_to_null, write_json
from toolchain.workspace.digests import digests_by_name
from toolchain.workspace.environment import machine, version

SCHEMA = 1
SHARE = 0.01  # of values that a choice may change, where different_patches is not limited
TOOLS = ("torch", "onnx", "onnxruntime", "openvino", "numpy")


def compare_layers(request: LayersRequest, listener: Listener | None = None) -> LayersResult:
    """Compare, write `request.target`, name the first diverging tensor of each variant.

    A divergence is not an exception.

    Raises:
        CheckpointError: The checkpoint cannot be used.
        FrameError: A capture cannot be used.
        ValidationError: A file cannot be run.
        WorkspaceError: The findings cannot be written.
    """
    recorder = OperatorRecorder(request.checkpoint, request.settings)
    graph = read_graph(request.onnx)
    original = OriginalTensors(recorder, graph, _frame(request), read_ranking(request.onnx))
    variants = list(_load_variants(request, original))
    listener = listener or SilentListener()
    if request.mode == "all":
        _compare_all(request, original, variants, listener)
    else:
        _bisect(graph, original, variants, listener)
    _write(request, original, variants)
    sentences = {item.variant: item.sentence() for item in variants}
    return LayersResult({key: text for key, text in sentences.items() if text}, request.target)


def _frame(request: LayersRequest) -> Frame:
    size = request.settings.width, request.settings.height
    if request.captures:
        name, src, bgr = read_pairs(request.captures[0])[0]
        return load_pair(name, src, bgr, size=size)
    return composite(request.seed, *size)


def _load_variants(request: LayersRequest, original: OriginalTensors) -> Iterator[VariantTensors]:
    loaded: list[tuple[Variant, Intermediates]] = [(Variant(ONNX), OnnxIntermediates(request.onnx))]
    for precision, xml in request.irs:
        loaded += [
            (Variant(precision, hint), IrIntermediates(xml, hint)) for hint in hints_of(precision)
        ]
    for variant, tensors in loaded:
        limits = (limits_for(request.tolerances, variant) or Limits()).by_figure
        limit, patches = limits.get("layers_max_rel"), limits.get("different_patches")
        share = SHARE if patches is None else patches.absolute
        bound = None if limit is None else limit.absolute
        yield VariantTensors(variant, tensors, original, bound, share)


def _compare_all(
    request: LayersRequest,
    original: OriginalTensors,
    variants: Sequence[VariantTensors],
    listener: Listener,
) -> None:
    batches = list(_batches(original.tensors.values(), request.memory))
    with listener.task("Comparing layers", len(batches) * (1 + len(variants)), "runs") as task:
        done = 0
        for batch in batches:
            values = original.read(batch)
            task.reach(done := done + 1)
            for variant in variants:
                variant.compare(values)
                task.reach(done := done + 1)
    for variant in variants:
        variant.first = next(
            (item for item in variant.known().values() if variant.exceeds_limit(item)), None
        )


def _batches(tensors: Iterable[Tensor], memory: int) -> Iterator[list[str]]:
    """Names of neighbours, as many together as `memory` holds, at least one."""
    batch: list[str] = []
    held = 0
    for tensor in tensors:
        if batch and held + tensor.size > memory:
            yield batch
            batch, held = [], 0
        batch.append(tensor.name)
        held += tensor.size
    if batch:
        yield batch


def _bisect(
    graph: Sequence[Tensor],
    original: OriginalTensors,
    variants: Sequence[VariantTensors],
    listener: Listener,
) -> None:
    with listener.task("Bisecting layers", len(variants), "variants") as task:
        for done, variant in enumerate(variants, 1):
            known = variant.known()
            ends = [name for name in OUTPUTS if name in known]
            name = find_first_bad(_parents(graph, known), ends, _asking(variant, original))
            variant.first = None if name is None else known[name]
            task.reach(done)


def _asking(variant: VariantTensors, original: OriginalTensors) -> Callable[[str], bool]:
    def is_bad(name: str) -> bool:
        variant.compare(original.read([name]))
        return variant.exceeds_limit(original.tensors[name])

    return is_bad


def _parents(graph: Sequence[Tensor], known: Mapping[str, Tensor]) -> dict[str, tuple[str, ...]]:
    """Known tensors that each known tensor is computed from, through those not compared."""
    through: dict[str, tuple[str, ...]] = {}
    for tensor in graph:
        found: dict[str, None] = {}
        for name in tensor.inputs:
            found.update(dict.fromkeys((name,) if name in known else through.get(name, ())))
        through[tensor.name] = tuple(found)
    return {name: through[name] for name in through if name in known}


def _write(
    request: LayersRequest, original: OriginalTensors, variants: Sequence[VariantTensors]
) -> None:
    paths = [request.checkpoint, request.onnx]
    for _, xml in request.irs:
        paths += [xml, xml.with_suffix(".bin")]
    findings = {
        "schema": SCHEMA,
        "model": request.name,
        "verdict": "pass" if all(variant.first is None for variant in variants) else "fail",
        "mode": request.mode,
        "facts": dict(request.facts),
        "files": digests_by_name(paths, request.target.parent),
        "settings": asdict(request.settings),
        "frame": original.frame.name,
        "original": "PyTorch, f32, in the form that is exported; convolutions after BatchNorm",
        "from_published": _from_published(request, original),
        "matched": len(original.tensors),
        "not_matched": original.unmatched,
        "variants": [variant.as_json() for variant in variants],
        "scales": {
            "relative": "largest absolute difference / largest absolute value of the original's",
            "after_top_k": "compared with an original that refines the same patches as the variant",
            "from_published": "largest difference of that form from the published one",
            "share": "of values that may be over the limit where top-k or a comparison chose",
            "changed_by_reading": "largest change of pha or fgr by reading inner tensors",
        },
        "machine": machine(),
        "tools": {tool: version(tool) for tool in TOOLS},
    }
    write_json(request.target, nan_to_null(findings))


def _from_published(request: LayersRequest, original: OriginalTensors) -> dict[str, float]:
    """Difference of the exported form, run in PyTorch, from the published form."""
    frame = original.frame
    published = PyTorchRuntime(request.checkpoint, request.settings).infer(frame.src, frame.bgr)
    inner = [name for name in ("ref_sm",) if name in original.tensors]
    values = original.read([*OUTPUTS, *inner])
    found = to_inference(values["pha"], values["fgr"], {name: values[name] for name in inner})
    same = mask_outside(found.ref != published.ref)
    return {
        name: float(
            np.abs(getattr(found, name)[same] - getattr(published, name)[same]).max(initial=0.0)
        )
        for name in OUTPUTS
    }
