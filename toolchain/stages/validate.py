"""Validate: the original (PyTorch, f32, patch by patch) against every form of the converted model.

The same frames go through all of them.  Patches that top-k chose differently are counted and
shown apart: there one side is refined and the other is not, which is no numeric error.
"""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toolchain.catalog.arguments import ExportSettings
from toolchain.catalog.records import Limits, Tolerance
from toolchain.errors import ValidationError
from toolchain.progress import Listener, Silence
from toolchain.workspace.atomic import write_json
from toolchain.workspace.digests import file_digest
from toolchain.workspace.ledger import version

if TYPE_CHECKING:
    from toolchain.frames.frame import Frame
    from toolchain.measures.differences import Differences
    from toolchain.measures.matting import Matte, MattingScore
    from toolchain.runtimes.base import Inference, Runtime

SCHEMA = 1
OUTPUTS = ("pha", "fgr")
ORDINARY_LIMIT = 1 / 255  # where no limit is set: one step of an 8-bit picture
TOOLS = ("torch", "onnx", "onnxruntime", "openvino", "numpy")


@dataclass(frozen=True)
class ValidateRequest:
    """What to compare, on what, under which limits, and where the verdict goes.

    `irs`: pairs of precision and xml.  `composites`: how many generated frames (with truth).
    `captures`: folders of real frames (see `frames.pictures.read_pairs`).
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
    from toolchain.measures.matting import Matte
    from toolchain.runtimes.pytorch import PyTorchRuntime

    original = PyTorchRuntime(request.checkpoint, request.settings)
    candidates = list(_candidates(request))
    frames = list(_frames(request))
    scores = _Scores("original")
    names: list[str] = []
    talk = listener or Silence()
    with talk.task("Validating", len(frames) * (1 + len(candidates)), "runs") as task:
        done = 0
        for load in frames:
            frame = load()
            names.append(frame.name)
            reference = original.infer(frame.src, frame.bgr)
            truth = None
            if frame.alpha is not None and frame.foreground is not None:
                truth = Matte(frame.alpha, frame.foreground)
            matte = Matte(reference.pha, reference.fgr)
            scores.add(matte, truth)
            task.reach(done := done + 1)
            for candidate in candidates:
                candidate.add(frame, reference, matte, truth)
                task.reach(done := done + 1)
    runs = tuple(candidate.run(scores) for candidate in candidates)
    passed = all(run.passed for run in runs)
    rounding = None if passed else _own_rounding(request, original, frames[0]())
    _write(request, runs, scores, names, rounding)
    return ValidateResult(passed, runs, request.target)


def _candidates(request: ValidateRequest) -> Iterator[_Candidate]:
    from toolchain.runtimes.onnx_runtime import OnnxRuntime
    from toolchain.runtimes.openvino_runtime import OpenVinoRuntime

    def candidate(form: str, hint: Literal["f32", "default"], runtime: Runtime) -> _Candidate:
        limits = next(
            (t.limits for t in request.tolerances if (t.form, t.hint) == (form, hint)), None
        )
        return _Candidate(form, hint, runtime, limits)

    yield candidate("ONNX", "f32", OnnxRuntime(request.onnx))
    for precision, xml in request.irs:
        yield candidate(precision, "f32", OpenVinoRuntime(xml, "f32"))
        yield candidate(precision, "default", OpenVinoRuntime(xml, "default"))


def _frames(request: ValidateRequest) -> Iterator[Callable[[], Frame]]:
    """Loaders, so that only one frame is in memory at a time."""
    from functools import partial

    from toolchain.frames.generated import composite
    from toolchain.frames.pictures import load_pair, read_pairs

    size = request.settings.width, request.settings.height
    for index in range(request.composites):
        yield partial(composite, request.seed + index, *size)
    for folder in request.captures:
        for name, src, bgr in read_pairs(folder):
            yield partial(load_pair, name, src, bgr, size=size)


class _Scores:
    """Means of the matting metrics against the truth, over the frames that have one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._scores: list[MattingScore] = []

    def add(self, matte: Matte, truth: Matte | None) -> None:
        from toolchain.measures.matting import compare

        if truth is not None:
            self._scores.append(compare(matte, truth))

    def mean(self) -> dict[str, float] | None:
        """Metric -> mean, None without any truth."""
        if not self._scores:
            return None
        rows = [asdict(item) for item in self._scores]
        return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}


@dataclass
class _Candidate:
    """A runtime under test and the sums over its frames."""

    form: str
    hint: str
    runtime: Runtime
    limits: Limits | None
    everywhere: dict[str, Differences] = field(init=False)
    same_patches: dict[str, Differences] = field(init=False)
    truth: _Scores = field(init=False)
    between: list[MattingScore] = field(default_factory=list)
    different: int = 0
    patches: int = 0
    refined: int = 0
    exact: bool = True
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        from toolchain.measures.differences import Differences

        bounds = {
            name: getattr(self.limits, f"{name}_max_abs", None) or ORDINARY_LIMIT
            for name in OUTPUTS
        }
        self.everywhere = {name: Differences(bound) for name, bound in bounds.items()}
        self.same_patches = {name: Differences(bound) for name, bound in bounds.items()}
        self.truth = _Scores(self.form)

    def add(self, frame: Frame, reference: Inference, original: Matte, truth: Matte | None) -> None:
        from toolchain.measures.differences import outside
        from toolchain.measures.matting import Matte, compare

        found = self.runtime.infer(frame.src, frame.bgr)
        for name in OUTPUTS:
            shape, expected = getattr(found, name).shape, getattr(reference, name).shape
            if shape != expected:
                raise ValidationError(
                    f"{self.form}: {name} has the shape {shape}, the original's is {expected}",
                    hint="Export and convert again for this size.",
                )
        different = found.ref != reference.ref
        self.different += int(different.sum())
        self.patches += different.size
        self.refined += int(found.ref.sum())
        self.exact &= found.exact
        where = outside(different)
        for name in OUTPUTS:
            one, other = getattr(reference, name), getattr(found, name)
            self.everywhere[name].add(one, other)
            self.same_patches[name].add(one, other, where)
        matte = Matte(found.pha, found.fgr)
        self.between.append(compare(matte, original))
        self.truth.add(matte, truth)

    def run(self, original: _Scores) -> Run:
        from toolchain.measures.verdict import judge, without_truth, worse

        figures: dict[str, float | None] = {}
        details: dict[str, Any] = {"outputs": {}}
        failures = []
        for name in OUTPUTS:
            near, far = self.same_patches[name].total(), self.everywhere[name].total()
            figures[f"{name}_max_abs"] = near.max_abs
            figures[f"{name}_mean_abs"] = near.mean_abs
            details["outputs"][name] = {
                "outside_different_patches": asdict(near),
                "everywhere": asdict(far),
            }
            if not far.finite:
                failures.append(f"{name} holds NaN or infinite values")
        figures["different_patches"] = self.different / self.patches
        before, after = original.mean(), self.truth.mean()
        if before is not None and after is not None:
            figures.update(worse(before, after))
        rows = [asdict(item) for item in self.between]
        details["between"] = {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}
        details["truth"] = self.truth.mean()
        details["patches"] = {
            "compared": self.patches,
            "refined": self.refined,
            "chosen_differently": self.different,
            "read_from_identical_run": self.exact,
        }
        if self.limits is None:
            failures.append(f"model.yml has no limits for {self.form} at {self.hint}")
        else:
            # Without a frame of known truth there is nothing to be worse than.
            limits = without_truth(self.limits) if before is None else self.limits
            failures += [str(failure) for failure in judge(limits, figures)]
        return Run(
            self.form,
            self.hint,
            self.runtime.executed,
            figures,
            details,
            self.limits,
            tuple(failures),
        )


def _own_rounding(request: ValidateRequest, original: Runtime, frame: Frame) -> dict[str, float]:
    """How far the original itself lies from its own result in float64, on one frame.

    If this is near a limit, no float32 runtime can keep that limit with these weights.
    """
    from toolchain.measures.differences import Differences, outside
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
    runs: tuple[Run, ...],
    scores: _Scores,
    names: list[str],
    rounding: dict[str, float] | None,
) -> None:
    paths = [request.checkpoint, request.onnx]
    for _, xml in request.irs:
        paths += [xml, xml.with_suffix(".bin")]
    folder = request.target.parent
    verdict = {
        "schema": SCHEMA,
        "model": request.name,
        "verdict": "pass" if all(run.passed for run in runs) else "fail",
        "facts": dict(request.facts),
        "files": {_relative(path, folder): str(file_digest(path)) for path in paths},
        "settings": asdict(request.settings),
        "frames": names,
        "original": {"runtime": "PyTorch, f32, patch by patch", "truth": scores.mean()},
        "original_own_rounding": rounding,
        "runs": [_run_as_json(run) for run in runs],
        "machine": {"processor": processor(), "cores": os.cpu_count(), "os": platform.system()},
        "tools": {tool: version(tool) for tool in TOOLS},
        "scales": {
            "alpha_mad, alpha_mse, foreground_mse": "x1000, mean over all pixels (foreground: "
            "where the true alpha is over 0.01)",
            "alpha_grad": "/1000, sum over all pixels",
        },
    }
    write_json(request.target, _finite(verdict))


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become null (and are failures already)."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _run_as_json(run: Run) -> dict[str, Any]:
    from toolchain.measures.verdict import limited_figures

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


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def processor() -> str:
    """The processor's name as the operating system tells it."""
    info = Path("/proc/cpuinfo")  # only Linux has it; elsewhere platform knows better
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
