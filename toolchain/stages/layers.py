"""Layers: where in the graph the converted model leaves the original.

Inner tensors of the original (PyTorch, f32), the ONNX and the IRs, matched by name and structure,
are compared on one frame; the first one over its limit, whose inputs are within theirs, is the
place to look.  Tensors are read in batches that fit in memory, or by bisection, one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from toolchain.catalog.arguments import ExportSettings
from toolchain.catalog.records import Limits, Tolerance
from toolchain.definitions.ports import OUTPUTS
from toolchain.definitions.variants import Hint
from toolchain.progress import Listener, SilentListener
from toolchain.workspace.atomic import nan_to_null, write_json
from toolchain.workspace.digests import digests_by_name
from toolchain.workspace.environment import machine, version

if TYPE_CHECKING:
    from toolchain.frames.frame import Frame
    from toolchain.runtimes.graph import Tensor
    from toolchain.runtimes.intermediates import Intermediates
    from toolchain.runtimes.layerwise import Form, Inside

SCHEMA = 1
How = Literal["all", "bisect"]
MEMORY = 256 * 2**20
SHARE = 0.01  # of values that a choice may turn over, where different_patches is not limited
TOOLS = ("torch", "onnx", "onnxruntime", "openvino", "numpy")


@dataclass(frozen=True)
class LayersRequest:
    """What to compare, and where the findings go.

    `irs`: pairs of precision and xml.  `tolerances`: see `Limits.layers_max_rel`; without one a
    form is measured, and nothing in it is over.  `how`: every tensor, or only those that a
    bisection asks about, which follows a fault back from the outputs.  `memory`: bytes that a
    batch of tensors may take, in each form.  `captures`: the first frame of the first folder is
    used, else generated frame `seed`.
    """

    name: str
    checkpoint: Path
    onnx: Path
    irs: tuple[tuple[str, Path], ...]
    settings: ExportSettings
    tolerances: tuple[Tolerance, ...]
    target: Path
    facts: tuple[tuple[str, str], ...] = ()
    how: How = "all"
    seed: int = 2026
    captures: tuple[Path, ...] = ()
    memory: int = MEMORY


@dataclass(frozen=True)
class LayersResult:
    """`first`: by (form, hint), the first diverging tensor's sentence.  Details in `target`."""

    first: dict[tuple[str, str], str]
    target: Path

    @property
    def passed(self) -> bool:
        """Whether no tensor of any form is over its limit."""
        return not self.first


def layers(request: LayersRequest, listener: Listener | None = None) -> LayersResult:
    """Compare, write `request.target`, name the first diverging tensor of each form.

    Raises CheckpointError, FrameError for bad inputs, ValidationError for a file that can't be
    run, WorkspaceError if the findings can't be written.  A divergence is no exception.
    """
    from toolchain.runtimes.graph import read_graph, read_ranking
    from toolchain.runtimes.layerwise import Inside
    from toolchain.runtimes.recorder import Recorder

    recorder = Recorder(request.checkpoint, request.settings)
    graph = read_graph(request.onnx)
    original = Inside(recorder, graph, _frame(request), read_ranking(request.onnx))
    forms = list(_forms(request, original))
    talk = listener or SilentListener()
    if request.how == "all":
        _compare_all(request, original, forms, talk)
    else:
        _bisect(graph, original, forms, talk)
    _write(request, original, forms)
    said = {(form.form, form.hint): form.sentence() for form in forms}
    return LayersResult({key: text for key, text in said.items() if text}, request.target)


def _frame(request: LayersRequest) -> Frame:
    from toolchain.frames.generated import composite
    from toolchain.frames.pairs import load_pair, read_pairs

    size = request.settings.width, request.settings.height
    if request.captures:
        name, src, bgr = read_pairs(request.captures[0])[0]
        return load_pair(name, src, bgr, size=size)
    return composite(request.seed, *size)


def _forms(request: LayersRequest, original: Inside) -> Iterator[Form]:
    from toolchain.runtimes.intermediates import IrIntermediates, OnnxIntermediates
    from toolchain.runtimes.layerwise import Form

    hints: tuple[Hint, ...] = ("f32", "default")
    inside: list[tuple[str, str, Intermediates]] = [
        ("ONNX", "f32", OnnxIntermediates(request.onnx))
    ]
    for precision, xml in request.irs:
        inside += [(precision, hint, IrIntermediates(xml, hint)) for hint in hints]
    for form, hint, tensors in inside:
        limits = next(
            (t.limits for t in request.tolerances if (t.form, t.hint) == (form, hint)), Limits()
        )
        share = SHARE if limits.different_patches is None else limits.different_patches
        yield Form(form, hint, tensors, original, limits.layers_max_rel, share)


def _compare_all(
    request: LayersRequest, original: Inside, forms: Sequence[Form], talk: Listener
) -> None:
    batches = list(_batches(original.tensors.values(), request.memory))
    with talk.task("Comparing layers", len(batches) * (1 + len(forms)), "runs") as task:
        done = 0
        for batch in batches:
            values = original.read(batch)
            task.reach(done := done + 1)
            for form in forms:
                form.compare(values)
                task.reach(done := done + 1)
    for form in forms:
        form.first = next((item for item in form.known().values() if form.is_over(item)), None)


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
    graph: Sequence[Tensor], original: Inside, forms: Sequence[Form], talk: Listener
) -> None:
    from toolchain.metrics.bisection import first_bad

    with talk.task("Bisecting layers", len(forms), "forms") as task:
        for done, form in enumerate(forms, 1):
            known = form.known()
            ends = [name for name in OUTPUTS if name in known]
            name = first_bad(_parents(graph, known), ends, _asking(form, original))
            form.first = None if name is None else known[name]
            task.reach(done)


def _asking(form: Form, original: Inside) -> Callable[[str], bool]:
    def is_bad(name: str) -> bool:
        form.compare(original.read([name]))
        return form.is_over(original.tensors[name])

    return is_bad


def _parents(graph: Sequence[Tensor], known: Mapping[str, Tensor]) -> dict[str, tuple[str, ...]]:
    """What each known tensor is made from; through those that can't be compared to their own."""
    through: dict[str, tuple[str, ...]] = {}
    for tensor in graph:
        found: dict[str, None] = {}
        for name in tensor.inputs:
            found.update(dict.fromkeys((name,) if name in known else through.get(name, ())))
        through[tensor.name] = tuple(found)
    return {name: through[name] for name in through if name in known}


def _write(request: LayersRequest, original: Inside, forms: Sequence[Form]) -> None:
    paths = [request.checkpoint, request.onnx]
    for _, xml in request.irs:
        paths += [xml, xml.with_suffix(".bin")]
    findings = {
        "schema": SCHEMA,
        "model": request.name,
        "verdict": "pass" if all(form.first is None for form in forms) else "fail",
        "how": request.how,
        "facts": dict(request.facts),
        "files": digests_by_name(paths, request.target.parent),
        "settings": asdict(request.settings),
        "frame": original.frame.name,
        "original": "PyTorch, f32, in the form that is exported; convolutions after BatchNorm",
        "from_published": _from_published(request, original),
        "matched": len(original.tensors),
        "not_matched": original.unmatched,
        "forms": [form.as_json() for form in forms],
        "scales": {
            "relative": "largest absolute difference / largest absolute value of the original's",
            "after_top_k": "held against an original that chooses the patches that this form chose",
            "from_published": "largest difference of that form from the published one",
            "share": "of values that may be over the limit where top-k or a comparison chose",
            "changed_by_reading": "largest change of pha or fgr by reading inner tensors",
        },
        "machine": machine(),
        "tools": {tool: version(tool) for tool in TOOLS},
    }
    write_json(request.target, nan_to_null(findings))


def _from_published(request: LayersRequest, original: Inside) -> dict[str, float]:
    """How far the exported form, run in PyTorch, is from the network patch by patch."""
    import numpy as np

    from toolchain.metrics.differences import outside
    from toolchain.runtimes.base import unpack
    from toolchain.runtimes.pytorch import PyTorchRuntime

    frame = original.frame
    published = PyTorchRuntime(request.checkpoint, request.settings).infer(frame.src, frame.bgr)
    inner = [name for name in ("ref_sm",) if name in original.tensors]
    values = original.read([*OUTPUTS, *inner])
    found = unpack(values["pha"], values["fgr"], {name: values[name] for name in inner})
    same = outside(found.ref != published.ref)
    return {
        name: float(
            np.abs(getattr(found, name)[same] - getattr(published, name)[same]).max(initial=0.0)
        )
        for name in OUTPUTS
    }
