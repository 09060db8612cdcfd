"""The work of the validate stage.

The same frames go through the network in float64, the original (PyTorch at float32) and every
variant.  How far float32 itself is from float64 with these weights is the unit of the limits.
Beside outputs, weights and selection are checked exactly.  The verdict rests on runs at f32, which
compute alike on every processor; what a device does by default is reported with a grade.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from time import monotonic
from typing import Any

from toolchain.definitions import schemas
from toolchain.definitions.metrics import GRADE_LIMITS
from toolchain.metrics.errors import OwnErrors, is_ill_conditioned
from toolchain.progress import Listener, SilentListener
from toolchain.stages.validate.explain import explain
from toolchain.stages.validate.measurement import Measurement, get_ground_truth, load_candidates
from toolchain.stages.validate.request import Run, ValidateRequest, ValidateResult, Verdict
from toolchain.workspace.atomic import nan_to_null, write_json
from toolchain.workspace.digests import digests_by_name
from toolchain.workspace.environment import machine, version

TOOLS = ("torch", "onnx", "onnxruntime", "openvino", "numpy")


def validate(request: ValidateRequest, listener: Listener | None = None) -> ValidateResult:
    """Measure every variant and write the verdict; a fail is not an exception.

    Args:
        request: What to compare.
        listener: Hears the progress.

    Returns:
        The verdict and the runs, as written to `request.target`.  An earlier verdict is replaced
        only by a complete new one.

    Raises:
        CheckpointError: The checkpoint cannot be used.
        FrameError: A capture cannot be used.
        ValidationError: A file cannot be run, or lacks the promised inputs and outputs.
        WorkspaceError: The verdict cannot be written.
    """
    listener = listener or SilentListener()
    began = monotonic()
    measurement = Measurement(request, list(load_candidates(request)))
    measurement.run(listener)
    measurement.check_selection(listener)
    own, originals = measurement.own, measurement.original_scores
    runs = [candidate.result(originals, own, request) for candidate in measurement.candidates]
    verdict = _verdict(runs, own)
    if verdict == "fail":
        runs = _explained(measurement, runs, listener, budget=monotonic() - began)
    _write(request, measurement, runs, verdict)
    return ValidateResult(verdict, tuple(runs), request.target)


def _verdict(runs: list[Run], own: OwnErrors) -> Verdict:
    if any(run.faults for run in runs):
        return "fail"
    if is_ill_conditioned(own):
        return "undecidable"
    return "pass" if all(run.passed for run in runs) else "fail"


def _explained(
    measurement: Measurement, runs: list[Run], listener: Listener, budget: float
) -> list[Run]:
    """Add explanations to the failed runs, each sought on the frame where it was worst.

    `budget`: seconds that all of them may take.
    """
    explained = list(runs)
    failed = [index for index, run in enumerate(runs) if not run.passed]
    deadline = monotonic() + budget
    with listener.task("Explaining", len(failed), "runs") as task:
        for done, index in enumerate(failed, 1):
            candidate, run = measurement.candidates[index], runs[index]
            worst = candidate.errors.index(max(candidate.errors))
            frame = measurement.frames[worst]()
            rows, complete = explain(
                candidate, measurement, frame, get_ground_truth(frame), deadline=deadline
            )
            details = {**run.details, "explanations": rows, "explanations_complete": complete}
            explained[index] = replace(run, details=details)
            task.reach(done)
    if monotonic() > deadline:
        listener.note(
            f"Explaining stopped after {budget:.0f} s, the time that validation took; not all "
            "causes were tried."
        )
    return explained


def _write(
    request: ValidateRequest, measurement: Measurement, runs: list[Run], verdict: Verdict
) -> None:
    paths = [request.checkpoint, request.onnx]
    for _, xml in request.irs:
        paths += [xml, xml.with_suffix(".bin")]
    own = {name: {"max": largest, "rms": rms} for name, (largest, rms) in measurement.own.items()}
    record = {
        "schema": schemas.VALIDATION,
        "model": request.name,
        "verdict": verdict,
        "facts": dict(request.facts),
        "files": digests_by_name(paths, request.target.parent),
        "settings": asdict(request.settings),
        "frames": measurement.names,
        "reference": {
            "runtime": "PyTorch, f64, patch by patch",
            "own_error": own,
            "own_error_is": "of PyTorch at f32 against the reference, the larger of two orders of "
            "summation (with and without oneDNN)",
        },
        "original": {
            "runtime": "PyTorch, f32, patch by patch",
            "metrics": measurement.original_scores.mean(),
        },
        "runs": [_run_as_json(run) for run in runs],
        "machine": machine(),
        "tools": {tool: version(tool) for tool in TOOLS},
        "scales": {
            "alpha_mad, alpha_mse, foreground_mse": "x1000, mean over all pixels (foreground: "
            "where the true alpha is over 0.01)",
            "alpha_grad": "/1000, sum over all pixels",
            "grade": "by the mean difference from the original: "
            + ", ".join(f"{grade} up to {limit:.2g}" for grade, limit in GRADE_LIMITS)
            + ", C above",
        },
    }
    write_json(request.target, nan_to_null(record))


def _run_as_json(run: Run) -> dict[str, Any]:
    return {
        **run.variant.as_json(),
        "executed": run.executed,
        "verdict": "pass" if run.passed else "fail",
        "failures": list(run.failures),
        "figures": run.figures,
        "bases": run.bases,
        "limits": None,
        **run.details,
    }
