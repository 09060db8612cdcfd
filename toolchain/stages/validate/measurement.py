"""Frames through the network in float64, the original and every variant under test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path

from toolchain.catalog.records import Limits, limits_for
from toolchain.definitions.arrays import Floats
from toolchain.definitions.metrics import max_error_of
from toolchain.definitions.ports import OUTPUTS
from toolchain.definitions.variants import FP32, INT8, ONNX, Variant, hints_of
from toolchain.frames.frame import Frame
from toolchain.frames.generated import composite
from toolchain.frames.pairs import load_pair, read_pairs
from toolchain.metrics.comparison import Comparison, Reference, Scores
from toolchain.metrics.errors import Errors, OwnErrors, combine_own_errors
from toolchain.metrics.score import Matte
from toolchain.progress import Listener
from toolchain.runtimes.background_worker import background_worker
from toolchain.runtimes.base import Inference, Runtime
from toolchain.runtimes.onnx_runtime import OnnxRuntime
from toolchain.runtimes.openvino_runtime import OpenVinoRuntime
from toolchain.runtimes.pytorch import PyTorchRuntime
from toolchain.runtimes.selection import (
    RunWithError,
    apply_published_rule,
    count_wrong_cells,
    load_ir_with_given_error,
    load_onnx_with_given_error,
    synthetic_errors,
)
from toolchain.runtimes.weights_audit import (
    ExpectedWeights,
    audit_ir,
    audit_onnx,
    restore_float32,
)
from toolchain.stages.validate.request import Run, ValidateRequest

SECOND_SAMPLES = 2  # frames on which the original is run with other kernels too
MAX_FAULTS = 5  # of the audit that are listed for one file
FULL = "full"  # the refine mode that selects nothing
FEW_CELLS = 1000  # patches that the network in float64 refines quickly


@dataclass
class Candidate:
    """A variant under test.

    Attributes:
        variant: The variant.
        file: The ONNX or the IR's xml.
        runtime: The file, loaded.
        limits: Limits of the variant.
        comparison: Sums over frames.
        faults: What exact checks found.
        errors: Largest error of an output, by frame.
        wrong_cells: Cells selected otherwise than the published rule does.
        unrounded: The same IR with float32 values in place of its float16 constants, and its
            comparison under the limits of FP32; None where there are no such constants.
    """

    variant: Variant
    file: Path
    runtime: Runtime
    limits: Limits | None
    comparison: Comparison
    faults: list[str] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    wrong_cells: int = 0
    unrounded: tuple[Runtime, Comparison] | None = None

    @property
    def is_exact(self) -> bool:
        """Whether it computes at f32, so that exact checks apply."""
        return self.variant.hint == "f32"

    def add(self, found: Inference, reference: Reference, request: ValidateRequest) -> None:
        """Add one frame."""
        self.errors.append(self.comparison.add(found, reference))
        if self.is_exact:
            self.wrong_cells += count_wrong_cells(found, request.settings)

    def result(self, original: Scores, own: OwnErrors, request: ValidateRequest) -> Run:
        """Judge the variant."""
        measured = self.comparison.result(original, own)
        faults = [*self.faults, *measured.faults]
        if self.wrong_cells:
            faults.append(
                f"{self.wrong_cells:,} patches are not those that the published rule selects from "
                "the model's own err_sm"
            )
        failures = [text for text in measured.failures if text not in measured.faults]
        if self.unrounded is not None:
            exact = self.unrounded[1].result(Scores(), own)  # errors are all that counts there
            failures += [
                f"with float32 weights: {failure}"
                for failure in exact.failures
                if failure not in exact.faults
            ]
            faults += [f"with float32 weights: {fault}" for fault in exact.faults]
        required, grade = request.require_default, measured.details["grade"]
        if self.variant.hint == "default" and required and grade > required:
            failures.append(f"its grade is {grade}, required is {required} or better")
        return Run(
            self.variant,
            self.runtime.executed,
            measured.figures,
            measured.bases,
            {"conditions": dict(self.runtime.conditions), **measured.details},
            self.limits,
            (*faults, *failures),
            tuple(faults),
        )


class Measurement:
    """The frames through everything.

    Attributes:
        checkpoint: File of the weights.
        candidates: The variants under test.
        exact: The network in float64.
        original: The original.
        frames: Loaders, so that only one frame is in memory at a time.
        names: Names of the frames.
        original_scores: Metrics of the original.
    """

    def __init__(self, request: ValidateRequest, candidates: list[Candidate]) -> None:
        self._request = request
        self.checkpoint = request.checkpoint
        self.candidates = candidates
        self.exact = PyTorchRuntime(request.checkpoint, request.settings, double=True)
        self.original = PyTorchRuntime(request.checkpoint, request.settings)
        self.frames = list(_frames(request))
        self.names: list[str] = []
        self.original_scores = Scores()
        self._samples = Errors(), Errors()

    @property
    def own(self) -> OwnErrors:
        """Errors of the original against the network in float64."""
        return combine_own_errors(self._samples)

    def reference(self, frame: Frame, original: Inference) -> Reference:
        """Run the network in float64 on a frame; `original`: outputs of the original on it."""
        return Reference(
            exact=self.exact.infer(frame.src, frame.bgr),
            original=original,
            matte=Matte(original.pha, original.fgr),
            truth=get_ground_truth(frame),
        )

    def run(self, listener: Listener) -> None:
        """Run all frames."""
        request = self._request
        unrounded = sum(candidate.unrounded is not None for candidate in self.candidates)
        count = len(self.frames) * (2 + len(self.candidates) + unrounded)
        with listener.task("Validating", count, "runs") as task, background_worker() as submit:
            done = 0
            for load in self.frames:
                frame = load()
                self.names.append(frame.name)
                original = self.original.infer(frame.src, frame.bgr)
                reference = self.reference(frame, original)
                without_truth = replace(reference, truth=None)
                submit(partial(self._samples[0].add, reference.exact, reference.original))
                submit(partial(self.original_scores.add, reference.matte, reference.truth))
                if len(self.names) <= SECOND_SAMPLES:
                    other = self.original.infer_without_onednn(frame.src, frame.bgr)
                    submit(partial(self._samples[1].add, reference.exact, other))
                task.reach(done := done + 2)
                for candidate in self.candidates:
                    found = candidate.runtime.infer(frame.src, frame.bgr)
                    submit(partial(candidate.add, found, reference, request))
                    task.reach(done := done + 1)
                    if candidate.unrounded is not None:
                        runtime, comparison = candidate.unrounded
                        found = runtime.infer(frame.src, frame.bgr)
                        submit(partial(comparison.add, found, without_truth))
                        task.reach(done := done + 1)

    def check_selection(self, listener: Listener) -> None:
        """Check the selection on expected errors that real frames rarely give."""
        exact = [candidate for candidate in self.candidates if candidate.is_exact]
        frame, settings = self.frames[0](), self._request.settings
        cases = list(synthetic_errors(settings, self._request.seed))
        chosen = {name: apply_published_rule(err, settings) for name, err in cases}
        few = {name: err for name, err in cases if chosen[name][0].sum() <= FEW_CELLS}
        with listener.task("Checking the selection", len(exact), "variants") as task:
            expected = self._expect_refined(frame, few) if settings.mode != FULL else {}
            for done, candidate in enumerate(exact, 1):
                run = _selection_run(candidate)
                for name, err in cases if run is not None else ():
                    assert run is not None
                    found = run(frame.src, frame.bgr, err)
                    cells, undecided = chosen[name]
                    if wrong := int(((found.ref != cells) & ~undecided).sum()):
                        candidate.faults.append(
                            f"selection: {wrong:,} patches are wrong for an expected error that "
                            f"is {name}"
                        )
                    elif name in expected and not _rounds_weights(candidate):
                        _check_refined(candidate, name, found, *expected[name])
                task.reach(done)

    def _expect_refined(
        self, frame: Frame, cases: Mapping[str, Floats]
    ) -> dict[str, tuple[Inference, dict[str, float]]]:
        """Outputs in float64 for given expected errors, and the original's own largest errors.

        Other patches are refined than on the frames, and may amplify rounding more.
        """
        given = frame.src, frame.bgr, cases.values()
        runs = zip(
            cases,
            self.exact.infer_with_errors(*given),
            self.original.infer_with_errors(*given),
            strict=True,
        )
        expected = {}
        for name, exact, original in runs:
            sample = Errors()
            sample.add(exact, original)
            own = combine_own_errors([*self._samples, sample])
            expected[name] = exact, {output: own[output][0] for output in OUTPUTS}
        return expected


def _check_refined(
    candidate: Candidate, name: str, found: Inference, exact: Inference, own: Mapping[str, float]
) -> None:
    """Compare outputs: what is not selected must not be refined."""
    errors = Errors()
    errors.add(exact, found)
    for output, error in errors.result().items():
        limit = (candidate.limits or Limits()).by_figure.get(max_error_of(output))
        if limit is not None and not error.max <= limit.bound(own[output]):
            candidate.faults.append(
                f"selection: {output} is off by {error.max:.2g} for an expected error that is "
                f"{name}, the limit is {limit.bound(own[output]):.2g}"
            )


def _rounds_weights(candidate: Candidate) -> bool:
    return candidate.variant.form not in (ONNX, FP32)


def _selection_run(candidate: Candidate) -> RunWithError | None:
    if candidate.variant.form == ONNX:
        return load_onnx_with_given_error(candidate.file)
    return load_ir_with_given_error(candidate.file, candidate.variant.device)


def load_candidates(request: ValidateRequest) -> Iterator[Candidate]:
    """Load the ONNX, then each IR at each of its hints; audit their weights.

    Raises:
        ValidationError: A file cannot be run, or lacks the promised inputs and outputs.
    """
    expected = ExpectedWeights(request.checkpoint)

    def make(variant: Variant, file: Path, runtime: Runtime, faults: list[str]) -> Candidate:
        limits = limits_for(request.tolerances, variant)
        comparison = Comparison(variant, limits)
        return Candidate(variant, file, runtime, limits, comparison, _shortened(faults))

    onnx = Variant(ONNX)
    yield make(onnx, request.onnx, OnnxRuntime(request.onnx), audit_onnx(request.onnx, expected))
    audits = {xml: audit_ir(xml, expected, request.scale) for _, xml in request.irs}
    for device, (precision, xml) in product(request.devices, request.irs):
        for hint in hints_of(precision):
            variant, audit = Variant(precision, hint, device), audits[xml]
            runtime = OpenVinoRuntime(xml, hint, device)
            candidate = make(variant, xml, runtime, audit.faults if hint == "f32" else [])
            if hint == "f32" and audit.float32_values and precision != INT8:
                edit = restore_float32(audit.float32_values)
                limits = limits_for(request.tolerances, Variant(FP32))
                candidate.unrounded = (
                    OpenVinoRuntime(xml, hint, device, edit),
                    Comparison(Variant(precision, hint, device), limits),
                )
            yield candidate


def _shortened(faults: list[str]) -> list[str]:
    if len(faults) <= MAX_FAULTS:
        return list(faults)
    return [*faults[:MAX_FAULTS], f"and {len(faults) - MAX_FAULTS} more constants"]


def get_ground_truth(frame: Frame) -> Matte | None:
    """Return the ground truth of a frame as a matte, None if it is not known."""
    if frame.alpha is None or frame.foreground is None:
        return None
    return Matte(frame.alpha, frame.foreground)


def _frames(request: ValidateRequest) -> Iterator[Callable[[], Frame]]:
    size = request.settings.width, request.settings.height
    for index in range(request.composites):
        yield partial(composite, request.seed + index, *size)
    for folder in request.captures:
        for name, src, bgr in read_pairs(folder):
            yield partial(load_pair, name, src, bgr, size=size)
