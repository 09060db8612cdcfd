"""Why a variant failed: experiments, each of which undoes one thing that often goes wrong."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import Any

from toolchain.frames.frame import Frame
from toolchain.metrics.comparison import Comparison, ComparisonResult, Scores
from toolchain.metrics.explanations import build_explanation, sort_explanations
from toolchain.metrics.score import Matte
from toolchain.runtimes.base import Inference
from toolchain.runtimes.diagnostics import FailedVariant, build_experiments
from toolchain.stages.validate.measurement import Candidate, Measurement


def explain(
    candidate: Candidate,
    measurement: Measurement,
    frame: Frame,
    truth: Matte | None,
    deadline: float,
) -> tuple[list[dict[str, Any]], bool]:
    """Try what often goes wrong, until one experiment convinces or the time is over.

    Args:
        candidate: The variant that failed.
        measurement: The network in float64 and the original.
        frame: The frame on which the variant was worst.
        truth: Ground truth of the frame.
        deadline: Time by the monotonic clock after which no experiment begins.

    Returns:
        Rows for JSON, convincing ones first, and whether all that was needed was tried.
    """
    limits = candidate.limits
    if limits is None:  # nothing to bring the outputs within
        return [], True
    original = measurement.original.infer(frame.src, frame.bgr)
    reference = measurement.reference(frame, original)

    def measure(found: Inference, changed: Inference | None) -> ComparisonResult:
        held = reference
        if changed is not None:  # an experiment with the reference itself
            matte = Matte(changed.pha, changed.fgr)
            held = replace(reference, exact=changed, original=changed, matte=matte)
        comparison = Comparison(candidate.variant, limits)
        scores = Scores()
        scores.add(held.matte, truth)
        comparison.add(found, held)
        return comparison.result(scores, measurement.own)

    suspect = FailedVariant(
        file=candidate.file,
        variant=candidate.variant,
        runtime=candidate.runtime,
        checkpoint=measurement.checkpoint,
        original=measurement.original,
        reference=original,
        frame=frame,
    )
    before = measure(suspect.found, None)
    rows: list[dict[str, Any]] = []
    for experiment in build_experiments(suspect):
        if monotonic() > deadline:
            return sort_explanations(rows), False
        after = measure(*experiment.run()) if experiment.run is not None else None
        row = build_explanation(experiment.hypothesis, experiment.found, limits, before, after)
        rows.append(row)
        if row["convinces"]:
            break
    return sort_explanations(rows), True
