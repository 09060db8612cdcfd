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
from toolchain.catalog.builtin import builtin_config
from toolchain.catalog.reader import read_model
from toolchain.catalog.records import Model, Tolerance
from toolchain.errors import ToolchainError, ValidationError
from toolchain.pipeline.job import Job
from toolchain.pipeline.request import INT8, KEPT, SPARED, BuildRequest, Stage
from toolchain.progress import Listener
from toolchain.stages.convert import ConvertRequest, InputFormat, Precision, convert
from toolchain.stages.export import ExportRequest, export
from toolchain.stages.quantize import RECORD, QuantizeRequest, quantize
from toolchain.stages.validate import ValidateRequest, processor, validate
from toolchain.workspace.atomic import os_errors
from toolchain.workspace.digests import file_digest
from toolchain.workspace.layout import Layout
from toolchain.workspace.ledger import version

Facts = tuple[tuple[str, str], ...]
ROUNDING_WORTH_TELLING = 5e-6  # a quarter of the limit on FP32


def jobs_of(request: BuildRequest, stage: Stage, sha384: str | None = None) -> tuple[Job, ...]:
    """The jobs of `stage`.

    `sha384`: the checkpoint's, where it is foreseen; None: that of the file, which must be there.
    Raises ToolchainError if it is not.
    """
    facts = facts_of(request, sha384)
    if stage == "export":
        return (export_job(request, facts),)
    if stage == "convert":
        return tuple(_convert_job(request, precision, facts) for precision in request.converted)
    if stage == "quantize" and INT8 in request.precisions:
        return (_quantize_job(request),)
    if stage == "validate":
        return (_validate_job(request, facts),)
    return ()


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
        work=lambda _: export(work),
        voids=(layout.validation,),
    )


def _convert_job(request: BuildRequest, precision: Precision, facts: Facts) -> Job:
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
        KEPT,
        request.input_format,
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
            "kept": repr(work.kept),
            "input_format": work.input_format,
        },
        tools=("openvino", "onnx"),
        outputs=(work.xml, work.xml.with_suffix(".bin")),
        work=lambda _: convert(work),
        voids=(layout.validation,),
    )


def _quantize_job(request: BuildRequest) -> Job:
    layout, wanted = request.layout, request.quantization
    work = QuantizeRequest(
        source=layout.ir("FP16"),
        reference=layout.ir("FP32"),
        xml=layout.ir(INT8),
        tolerances=tolerances_of(request.model),
        spared=(*SPARED, *wanted.spared),
        dataset=wanted.dataset,
        calibration=wanted.calibration,
        composites=request.composites,
    )
    return quantization_job(work, f"quantize-{INT8}", layout)


def quantization_job(work: QuantizeRequest, entry: str, layout: Layout) -> Job:
    """The job that makes one 8-bit IR in the folder of `layout`."""
    inputs = {}
    for name, xml in (("source", work.source), ("reference", work.reference)):
        inputs[f"{name}.xml"] = xml
        inputs[f"{name}.bin"] = xml.with_suffix(".bin")
    if work.dataset is not None:
        inputs |= _pictures("dataset", work.dataset)
    return Job(
        stage="quantize",
        entry=entry,
        inputs=inputs,
        parameters={
            "tolerances": [asdict(item) for item in work.tolerances if item.form == INT8],
            "spared": work.spared,
            "calibration": work.calibration,
            "composites": work.composites,
            "device": work.device,
        },
        tools=("nncf", "openvino", "numpy", "pillow", "scipy"),
        outputs=(work.xml, work.xml.with_suffix(".bin"), work.xml.with_name(RECORD)),
        work=lambda listener: quantize(work, listener),
        voids=(layout.validation,),
    )


def _validate_job(request: BuildRequest, facts: Facts) -> Job:
    layout = request.layout
    irs = tuple((precision, layout.ir(precision)) for precision in request.precisions)
    work = ValidateRequest(
        name=layout.name,
        checkpoint=request.checkpoint,
        onnx=layout.onnx,
        irs=irs,
        settings=request.export_settings,
        tolerances=tolerances_of(request.model),
        target=layout.validation,
        facts=facts,
        composites=request.composites,
        captures=request.captures,
    )
    inputs = {"checkpoint": request.checkpoint, "onnx": layout.onnx}
    for precision, xml in irs:
        inputs[f"{precision}.xml"] = xml
        inputs[f"{precision}.bin"] = xml.with_suffix(".bin")
    for number, folder in enumerate(request.captures):
        inputs |= _pictures(str(number), folder)

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
        inputs=inputs,
        parameters={
            "settings": asdict(work.settings),
            "tolerances": [asdict(item) for item in work.tolerances],
            "composites": work.composites,
            "seed": work.seed,
            "facts": work.facts,
            "processor": processor(),
        },
        tools=("torch", "onnxruntime", "openvino", "numpy", "pillow", "scipy"),
        outputs=(layout.validation,),
        work=run,
    )


def _pictures(label: str, folder: Path) -> dict[str, Path]:
    """Every file below `folder`, by names that do not tell where it lies."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {f"{label}:{path.relative_to(folder).as_posix()}": path for path in paths}


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


def tolerances_of(model: Model) -> tuple[Tolerance, ...]:
    """The model's limits, or the built-in model's where its model.yml sets none."""
    return model.tolerances or read_model(builtin_config()).tolerances


def _failed(layout: Layout) -> ValidationError:
    verdict = json.loads(layout.validation.read_text(encoding="utf-8"))
    lines = [
        f"{run['form']} at {run['hint']} ({run['executed']}): {failure}"
        for run in verdict["runs"]
        for failure in run["failures"]
    ]
    rounding = verdict.get("original_own_rounding") or {}
    worst = max(rounding.values(), default=0.0)
    hint = f"All figures are in {layout.validation}."
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
