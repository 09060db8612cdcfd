"""What each stage would do for a request: inputs, parameters, outputs, and the work itself.

The real run and `--dry-run` share these jobs; only the real run calls `work`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

from toolchain import __version__
from toolchain.catalog.arguments import (
    ConversionSettings,
    conversion_settings,
)
from toolchain.errors import ToolchainError, ValidationError
from toolchain.pipeline.job import Job
from toolchain.pipeline.quantization import quantize_job
from toolchain.pipeline.report import report_job
from toolchain.pipeline.request import INT8, BuildRequest, Stage, tolerances_of
from toolchain.progress import Listener
from toolchain.stages.convert.request import (
    ConvertRequest,
    Float32Constants,
    FloatPrecision,
    InputFormat,
)
from toolchain.stages.export.request import ExportRequest
from toolchain.stages.layers import LayersRequest, layers
from toolchain.stages.validate import ValidateRequest, validate
from toolchain.workspace.atomic import os_errors
from toolchain.workspace.digests import file_digest
from toolchain.workspace.environment import processor, version
from toolchain.workspace.layout import Layout

Facts = tuple[tuple[str, str], ...]
ROUNDING_WORTH_TELLING = 5e-6  # a quarter of the limit on FP32


def jobs_of(request: BuildRequest, stage: Stage, sha384: str | None = None) -> tuple[Job, ...]:
    """The jobs of `stage`.

    `sha384`: the checkpoint's, where it is foreseen; None: that of the file, which must be there.
    Raises ToolchainError if it is not.
    """
    if stage == "report":
        return (report_job(request),)
    if stage == "quantize":
        return (quantize_job(request),) if INT8 in request.precisions else ()
    facts = facts_of(request, sha384)
    if stage == "convert":
        return tuple(_convert_job(request, precision, facts) for precision in request.converted)
    alone = {"export": export_job, "layers": _layers_job, "validate": _validate_job}
    return (alone[stage](request, facts),) if stage in alone else ()


def export_job(request: BuildRequest, facts: Facts) -> Job:
    """The job that makes the ONNX."""
    layout, settings = request.layout, request.export_settings
    work = ExportRequest(request.checkpoint, layout.onnx, settings, facts)
    return Job(
        stage="export",
        entry="export",
        inputs={"checkpoint": request.checkpoint},
        parameters={"settings": asdict(settings), "facts": work.facts},
        tools=("torch", "onnx", "onnxscript", "onnxruntime"),
        outputs=(layout.onnx,),
        work=lambda _: _export(work),
        voids=layout.verdicts,
    )


def _export(work: ExportRequest) -> None:
    from toolchain.stages.export.export import export  # imports torch

    export(work)


def _convert_job(request: BuildRequest, precision: FloatPrecision, facts: Facts) -> Job:
    layout = request.layout
    xml = layout.ir(precision)
    settings = _with_fixed_inputs(request)
    work = ConvertRequest(
        layout.onnx,
        xml,
        precision,
        settings,
        facts + ir_facts(settings, request.input_format),
        request.model.model_info,
        Float32Constants.from_architecture(request.architecture),
        request.input_format,
        moves_preprocessing=True,
    )
    return conversion_job(work, f"convert-{precision}", layout)


def conversion_job(work: ConvertRequest, entry: str, layout: Layout) -> Job:
    """The job that makes one IR in the folder of `layout`."""
    return Job(
        stage="convert",
        entry=entry,
        inputs={"onnx": work.onnx},
        parameters={
            "precision": work.precision,
            "settings": repr(work.settings),
            "facts": work.facts,
            "model_info": repr(work.model_info),
            "float32_constants": asdict(work.float32_constants),
            "input_format": work.input_format,
            "moves_preprocessing": work.moves_preprocessing,
        },
        tools=("openvino", "onnx"),
        outputs=(work.xml, work.xml.with_suffix(".bin")),
        work=lambda _: _convert(work),
        voids=layout.verdicts,
    )


def _convert(work: ConvertRequest) -> None:
    from toolchain.stages.convert.convert import convert  # imports OpenVINO

    convert(work)


def _validate_job(request: BuildRequest, facts: Facts) -> Job:
    layout = request.layout
    work = ValidateRequest(
        name=layout.name,
        checkpoint=request.checkpoint,
        onnx=layout.onnx,
        irs=_irs(request),
        settings=request.export_settings,
        tolerances=tolerances_of(request.model),
        target=layout.validation,
        facts=facts,
        composites=request.composites,
        captures=request.captures,
        devices=request.devices,
    )

    def run(listener: Listener) -> None:
        try:
            passed = validate(work, listener).passed
        except ValidationError:  # not even comparable: an earlier verdict is not on these files
            layout.validation.unlink(missing_ok=True)
            raise
        if not passed:
            raise _failed(layout)

    return Job(
        stage="validate",
        entry="validate",
        inputs=_compared(request),
        parameters={
            "settings": asdict(work.settings),
            "tolerances": [asdict(item) for item in work.tolerances],
            "composites": work.composites,
            "devices": work.devices,
            "seed": work.seed,
            "facts": work.facts,
            "processor": processor(),
        },
        tools=("torch", "onnxruntime", "openvino", "numpy", "pillow", "scipy"),
        outputs=(layout.validation,),
        work=run,
        voids=(layout.report, layout.report_text),
    )


def _layers_job(request: BuildRequest, facts: Facts) -> Job:
    """A divergence is a finding, not a failure: the same files diverge again at the same place."""
    layout = request.layout
    work = LayersRequest(
        name=layout.name,
        checkpoint=request.checkpoint,
        onnx=layout.onnx,
        irs=_irs(request),
        settings=request.export_settings,
        tolerances=tolerances_of(request.model),
        target=layout.layers,
        facts=facts,
        how=request.layers,
        captures=request.captures,
    )
    return Job(
        stage="layers",
        entry="layers",
        inputs=_compared(request),
        parameters={
            "settings": asdict(work.settings),
            "tolerances": [asdict(item) for item in work.tolerances],
            "how": work.how,
            "seed": work.seed,
            "facts": work.facts,
            "processor": processor(),
        },
        tools=("torch", "onnxruntime", "openvino", "numpy", "pillow", "scipy"),
        outputs=(layout.layers,),
        work=lambda listener: layers(work, listener),
        voids=(layout.layers,),
    )


def _irs(request: BuildRequest) -> tuple[tuple[str, Path], ...]:
    return tuple((precision, request.layout.ir(precision)) for precision in request.precisions)


def _compared(request: BuildRequest) -> dict[str, Path]:
    """The files that are compared, and the pictures that they are compared on."""
    inputs = {"checkpoint": request.checkpoint, "onnx": request.layout.onnx}
    for precision, xml in _irs(request):
        inputs[f"{precision}.xml"] = xml
        inputs[f"{precision}.bin"] = xml.with_suffix(".bin")
    inputs.update(request.pictures)
    return inputs


def facts_of(request: BuildRequest, sha384: str | None = None) -> Facts:
    """What every file of a build says about itself; the same for the same inputs.

    `sha384`: see `jobs_of`.
    """
    model, weights, checkpoint = request.model, request.weights, request.checkpoint
    if sha384 is None and not checkpoint.is_file():
        raise ToolchainError(
            f"{checkpoint}: the checkpoint is not there",
            kept="Nothing was changed.",
            hint="Run `matting download` or `matting build` with the same --weights first.",
        )
    with os_errors(checkpoint, "read"):
        digest = sha384 or file_digest(checkpoint, "sha384").value
    return (
        ("model", weights.name),
        ("weights", weights.kind),
        ("weights_are", weights.description),
        ("checkpoint", checkpoint.name),
        ("checkpoint_sha384", digest),
        ("license", model.license_url),
        ("toolchain", __version__),
        ("torch", version("torch")),
        ("onnx", version("onnx")),
    )


def ir_facts(settings: ConversionSettings, input_format: InputFormat = "f32-nchw") -> Facts:
    """What an IR says about its inputs and outputs."""
    kind, layout = input_format.upper().split("-")
    return (
        ("input_colour_order", "BGR" if settings.reverse_input_channels else "RGB"),
        ("input_range", "0..255" if settings.scale else "0..1"),
        ("input_layout", layout),
        ("input_type", kind.lower()),
        ("output_fgr_colour_order", "RGB"),
        ("output_range", "0..1"),
        ("openvino", version("openvino")),
    )


def _with_fixed_inputs(request: BuildRequest) -> ConversionSettings:
    settings = request.export_settings
    shape = (1, 3, settings.height, settings.width)
    converted = conversion_settings(request.model)
    return replace(converted, shapes=(("src", shape), ("bgr", shape)))


def _failed(layout: Layout) -> ValidationError:
    verdict = json.loads(layout.validation.read_text(encoding="utf-8"))
    lines = [
        f"{run['form']} at {run['hint']} ({run['executed']}): {failure}"
        for run in verdict["runs"]
        for failure in run["failures"]
    ]
    rounding = verdict.get("original_own_rounding") or {}
    worst = max(rounding.values(), default=0.0)
    reasons = [
        f"{run['form']} at {run['hint']}: {row['hypothesis']}. {row['found']}: "
        f"{row['figure']} falls from {_shown(row['before'])} to {_shown(row['after'])}."
        for run in verdict["runs"]
        for row in run.get("explanations", ())
        if row["convinces"]
    ]
    if reasons:
        lines += ["", "what explains it:", *reasons]
    hint = f"All figures are in {layout.validation}."
    if not reasons and not layout.layers.is_file():
        hint += " `matting validate --layers` names the first tensor that differs."
    if worst > ROUNDING_WORTH_TELLING:
        hint += (
            f" With these weights the original itself differs from its own float64 result by "
            f"{worst:.1e}: they amplify rounding, and no float32 runtime can agree more closely."
        )
    return ValidationError(
        "the converted model differs from the original by more than the limits:\n  "
        + "\n  ".join(lines),
        kept="validation.json says fail; the files are not validated and must not be used.",
        hint=hint,
        verdict=verdict,
    )


def _shown(value: float | None) -> str:
    return "no number" if value is None else f"{value:.3g}"
