"""Validate: the original (PyTorch, f32, patch by patch) against every form of the converted model.

The same frames go through all of them.  A fail is followed by experiments: each changes one
thing that often goes wrong, and the one that brings the outputs together explains the fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.catalog.arguments import ExportSettings
from toolchain.catalog.records import Limits, Tolerance
from toolchain.definitions.variants import HINTS, Hint
from toolchain.progress import Listener, SilentListener
from toolchain.workspace.atomic import nan_to_null, write_json
from toolchain.workspace.digests import digests_by_name
from toolchain.workspace.environment import machine, version

if TYPE_CHECKING:
    from toolchain.frames.frame import Frame
    from toolchain.metrics.comparison import Comparison, Measured, Scores
    from toolchain.metrics.matte_errors import Matte
    from toolchain.runtimes.base import Inference, Runtime
    from toolchain.runtimes.pytorch import PyTorchRuntime

SCHEMA = 1
TOOLS = ("torch", "onnx", "onnxruntime", "openvino", "numpy")


@dataclass(frozen=True)
class ValidateRequest:
    """What to compare, on what, under which limits, and where the verdict goes.

    `irs`: pairs of precision and xml.  `composites`: how many generated frames (with truth).
    `captures`: folders of real frames (see `frames.pictures.read_pairs`).  `devices`: those that
    each IR is run on, at f32 and at the device's default, by OpenVINO's names.
    """

    name: str
    checkpoint: Path
    onnx: Path
    irs: tuple[tuple[str, Path], ...]
    settings: ExportSettings
    tolerances: tuple[Tolerance, ...]
    target: Path
    facts: tuple[tuple[str, str], ...] = ()
    composites: int = 6
    seed: int = 2026
    captures: tuple[Path, ...] = ()
    devices: tuple[str, ...] = ("CPU",)


@dataclass(frozen=True)
class Run:
    """One way of running the model, as measured.  `figures` are what limits may name."""

    form: str
    hint: str
    executed: str
    figures: dict[str, float | None]
    details: dict[str, Any]
    limits: Limits | None
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return not self.failures


@dataclass(frozen=True)
class ValidateResult:
    """The verdict, also in `target` as JSON."""

    passed: bool
    runs: tuple[Run, ...]
    target: Path


def validate(request: ValidateRequest, listener: Listener | None = None) -> ValidateResult:
    """Measure every form, write `request.target`, give the verdict; a fail is not an exception.

    Raises CheckpointError, FrameError for bad inputs, ValidationError for a file that can't be
    run or does not have the promised inputs and outputs, WorkspaceError if the verdict can't be
    written.  A verdict that was there before is replaced only by the new one.
    """
    from toolchain.metrics.comparison import Scores
    from toolchain.metrics.matte_errors import Matte
    from toolchain.runtimes.background_worker import aside
    from toolchain.runtimes.pytorch import PyTorchRuntime

    original = PyTorchRuntime(request.checkpoint, request.settings)
    candidates = list(_candidates(request))
    frames = list(_frames(request))
    scores = Scores()
    names: list[str] = []
    talk = listener or SilentListener()
    count = len(frames) * (1 + len(candidates))
    with talk.task("Validating", count, "runs") as task, aside() as do:
        done = 0
        for load in frames:
            frame = load()
            names.append(frame.name)
            reference = original.infer(frame.src, frame.bgr)
            truth = _truth(frame)
            matte = Matte(reference.pha, reference.fgr)
            do(partial(scores.add, matte, truth))
            task.reach(done := done + 1)
            for candidate in candidates:
                found = candidate.runtime.infer(frame.src, frame.bgr)
                do(partial(candidate.compare, found, reference, matte, truth))
                task.reach(done := done + 1)
    runs = [candidate.run(scores) for candidate in candidates]
    passed = all(run.passed for run in runs)
    rounding = None
    if not passed:
        rounding = _own_rounding(request, original, frames[0]())
        runs = _explained(request, original, candidates, runs, frames, talk)
    _write(request, runs, scores, names, rounding)
    return ValidateResult(passed, tuple(runs), request.target)


@dataclass
class _Candidate:
    """A runtime under test.  `far`: how far its outputs were from the original's, by frame."""

    form: str
    hint: Hint
    file: Path
    runtime: Runtime
    limits: Limits | None
    comparison: Comparison
    far: list[float] = field(default_factory=list)

    def compare(
        self, found: Inference, reference: Inference, matte: Matte, truth: Matte | None
    ) -> None:
        """Add a frame."""
        self.far.append(self.comparison.add(found, reference, matte, truth))

    def run(self, original: Scores) -> Run:
        measured = self.comparison.result(original)
        return Run(
            self.form,
            self.hint,
            self.runtime.executed,
            measured.figures,
            {"conditions": dict(self.runtime.conditions), **measured.details},
            self.limits,
            measured.failures,
        )


def _candidates(request: ValidateRequest) -> Iterator[_Candidate]:
    from toolchain.metrics.comparison import Comparison
    from toolchain.runtimes.onnx_runtime import OnnxRuntime
    from toolchain.runtimes.openvino_runtime import OpenVinoRuntime

    def candidate(form: str, hint: Hint, file: Path, runtime: Runtime) -> _Candidate:
        limits = next(
            (t.limits for t in request.tolerances if (t.form, t.hint) == (form, hint)), None
        )
        comparison = Comparison(form, hint, limits)
        return _Candidate(form, hint, file, runtime, limits, comparison)

    yield candidate("ONNX", "f32", request.onnx, OnnxRuntime(request.onnx))
    for device, (precision, xml) in product(request.devices, request.irs):
        for hint in HINTS:
            yield candidate(precision, hint, xml, OpenVinoRuntime(xml, hint, device))


def _truth(frame: Frame) -> Matte | None:
    from toolchain.metrics.matte_errors import Matte

    if frame.alpha is None or frame.foreground is None:
        return None
    return Matte(frame.alpha, frame.foreground)


def _frames(request: ValidateRequest) -> Iterator[Callable[[], Frame]]:
    """Loaders, so that only one frame is in memory at a time."""
    from toolchain.frames.generated import composite
    from toolchain.frames.pairs import load_pair, read_pairs

    size = request.settings.width, request.settings.height
    for index in range(request.composites):
        yield partial(composite, request.seed + index, *size)
    for folder in request.captures:
        for name, src, bgr in read_pairs(folder):
            yield partial(load_pair, name, src, bgr, size=size)


def _explained(
    request: ValidateRequest,
    original: PyTorchRuntime,
    candidates: Sequence[_Candidate],
    runs: Sequence[Run],
    frames: Sequence[Callable[[], Frame]],
    talk: Listener,
) -> list[Run]:
    """The failed runs with their explanations, each sought on the frame where it was worst."""
    explained = list(runs)
    failed = [index for index, run in enumerate(runs) if not run.passed]
    with talk.task("Explaining", len(failed), "runs") as task:
        for done, index in enumerate(failed, 1):
            candidate, run = candidates[index], runs[index]
            frame = frames[candidate.far.index(max(candidate.far))]()
            rows = _explain(request, original, candidate, frame)
            explained[index] = replace(run, details={**run.details, "explanations": rows})
            task.reach(done)
    return explained


def _explain(
    request: ValidateRequest, original: PyTorchRuntime, candidate: _Candidate, frame: Frame
) -> list[dict[str, Any]]:
    """Try what often goes wrong; a hypothesis convinces if with it the run would have passed."""
    from toolchain.metrics.comparison import Comparison, Scores
    from toolchain.metrics.explanations import explanation, in_order
    from toolchain.metrics.matte_errors import Matte
    from toolchain.runtimes.diagnostics import Suspect, experiments

    limits = candidate.limits
    if limits is None:  # nothing to bring the outputs within
        return []
    truth = _truth(frame)

    def measure(found: Inference, reference: Inference) -> Measured:
        comparison = Comparison(candidate.form, candidate.hint, limits)
        matte, scores = Matte(reference.pha, reference.fgr), Scores()
        scores.add(matte, truth)
        comparison.add(found, reference, matte, truth)
        return comparison.result(scores)

    suspect = Suspect(
        candidate.file, candidate.hint, candidate.runtime, original, request.checkpoint, frame
    )
    before = measure(suspect.found, suspect.reference)
    rows = []
    for experiment in experiments(suspect):
        after = measure(*experiment.run()) if experiment.run is not None else None
        rows.append(explanation(experiment.hypothesis, experiment.found, limits, before, after))
    return in_order(rows)


def _own_rounding(request: ValidateRequest, original: Runtime, frame: Frame) -> dict[str, float]:
    """How far the original itself lies from its own result in float64, on one frame.

    If this is near a limit, no float32 runtime can keep that limit with these weights.
    """
    from toolchain.definitions.ports import OUTPUTS
    from toolchain.metrics.comparison import ORDINARY_LIMIT
    from toolchain.metrics.differences import Differences, outside
    from toolchain.runtimes.pytorch import PyTorchRuntime

    exact = PyTorchRuntime(request.checkpoint, request.settings, double=True)
    one, other = exact.infer(frame.src, frame.bgr), original.infer(frame.src, frame.bgr)
    where = outside(one.ref != other.ref)
    result = {}
    for name in OUTPUTS:
        sums = Differences(ORDINARY_LIMIT)
        sums.add(getattr(one, name), getattr(other, name), where)
        result[f"{name}_max_abs"] = sums.total().max_abs
    return result


def _write(
    request: ValidateRequest,
    runs: Sequence[Run],
    scores: Scores,
    names: list[str],
    rounding: dict[str, float] | None,
) -> None:
    paths = [request.checkpoint, request.onnx]
    for _, xml in request.irs:
        paths += [xml, xml.with_suffix(".bin")]
    verdict = {
        "schema": SCHEMA,
        "model": request.name,
        "verdict": "pass" if all(run.passed for run in runs) else "fail",
        "facts": dict(request.facts),
        "files": digests_by_name(paths, request.target.parent),
        "settings": asdict(request.settings),
        "frames": names,
        "original": {"runtime": "PyTorch, f32, patch by patch", "truth": scores.mean()},
        "original_own_rounding": rounding,
        "runs": [_run_as_json(run) for run in runs],
        "machine": machine(),
        "tools": {tool: version(tool) for tool in TOOLS},
        "scales": {
            "alpha_mad, alpha_mse, foreground_mse": "x1000, mean over all pixels (foreground: "
            "where the true alpha is over 0.01)",
            "alpha_grad": "/1000, sum over all pixels",
        },
    }
    write_json(request.target, nan_to_null(verdict))


def _run_as_json(run: Run) -> dict[str, Any]:
    from toolchain.metrics.verdict import limited_figures

    limits = None
    if run.limits is not None:
        limits = {**limited_figures(run.limits), "reason": run.limits.reason}
    return {
        "form": run.form,
        "hint": run.hint,
        "executed": run.executed,
        "verdict": "pass" if run.passed else "fail",
        "failures": list(run.failures),
        "figures": run.figures,
        "limits": limits,
        **run.details,
    }
