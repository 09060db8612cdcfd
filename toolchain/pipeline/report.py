"""The job that makes the report: from which records and models, with which words on the source."""

from __future__ import annotations

import json
import re
from pathlib import Path

from toolchain.definitions.variants import ONNX
from toolchain.pipeline.anchor import describe_anchor
from toolchain.pipeline.job import Job
from toolchain.pipeline.request import BuildRequest
from toolchain.progress import Listener
from toolchain.report.html import compute_sources_digest
from toolchain.stages.report.request import ReportRequest

MOST_COMPOSITES = 3  # of those validated are shown by a build


def create_report_job(request: BuildRequest) -> Job:
    """The job that makes report.html and report.md.

    It shows the precisions that are validated in this run, or else those in
    validation.json.
    """
    layout = request.layout
    irs = tuple((precision, layout.ir(precision)) for precision in _precisions(request))
    optional = {path.name: path for path in (layout.evaluation, layout.latency) if path.is_file()}
    work = ReportRequest(
        checkpoint=request.checkpoint,
        onnx=layout.onnx,
        irs=irs,
        validation=layout.validation,
        html=layout.report,
        markdown=layout.report_text,
        evaluation=optional.get(layout.evaluation.name),
        latency=optional.get(layout.latency.name),
        composites=_composites(request),
        captures=request.captures,
        provenance=describe_provenance(request),
    )
    inputs = {
        "validation": layout.validation,
        "checkpoint": request.checkpoint,
        "onnx": layout.onnx,
        **optional,
        **request.capture_files,
    }
    for precision, xml in irs:
        inputs[f"{precision}.xml"] = xml
        inputs[f"{precision}.bin"] = xml.with_suffix(".bin")
    return Job(
        stage="report",
        entry="report",
        inputs=inputs,
        parameters={
            "composites": work.composites,
            "seed": work.seed,
            "at_most": work.at_most,
            "provenance": work.provenance,
            "sources": compute_sources_digest(),
        },
        tools=("torch", "onnxruntime", "openvino", "numpy", "pillow", "scipy", "jinja2"),
        outputs=(layout.report, layout.report_text),
        work=lambda listener: _report(work, listener),
    )


def _precisions(request: BuildRequest) -> tuple[str, ...]:
    if "validate" in request.stages:
        return request.precisions
    try:
        verdict = json.loads(request.layout.validation.read_text(encoding="utf-8"))
        forms = dict.fromkeys(str(run["form"]) for run in verdict["runs"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ()  # the stage reports what is wrong with it
    return tuple(form for form in forms if form != ONNX)


def _composites(request: BuildRequest) -> int:
    """As many as asked for, yet of a build's, which are there to be measured, only a few."""
    wanted = request.composites
    return min(wanted, MOST_COMPOSITES) if "validate" in request.stages else wanted


def describe_provenance(request: BuildRequest) -> tuple[tuple[str, str], ...]:
    """Where model and weights come from, without any path of this machine."""
    model, weights = request.model, request.weights
    facts = [("Model", " ".join(re.sub("[<>]", "", model.description).split()))]
    facts.append(("Weights", f"{weights.kind}: {weights.description}"))
    if weights.kind == "upstream":
        sources = [str(source) for source in weights.file.sources if not _local(source)]
        facts.append(
            ("Published at", "; ".join(sources)) if sources else ("Source", "a local file")
        )
        facts.append(("Published digest", describe_anchor(request)))
    elif weights.kind == "bundled":
        facts.append(("Their card", "toolchain/data/background-matting-mobilenetv2-bundled.md"))
    facts.append(("Licence", model.license_url))
    return tuple(facts)


def _local(source: object) -> bool:
    return isinstance(getattr(source, "path", None), Path)


def _report(work: ReportRequest, listener: Listener) -> None:
    from toolchain.stages.report.report import report  # imports torch and OpenVINO

    report(work, listener)
