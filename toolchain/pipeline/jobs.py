"""What each stage would do for a request: inputs, parameters, outputs, and the work itself.

The real run and `--dry-run` share these jobs; only the real run calls `work`.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from toolchain import __version__
from toolchain.catalog.arguments import (
    ConversionSettings,
    conversion_settings,
)
from toolchain.definitions.variants import INT8
from toolchain.errors import ToolchainError, ValidationError
from toolchain.pipeline.anchor import describe_anchor
from toolchain.pipeline.job import Job
from toolchain.pipeline.quantization import create_build_quantization_job
from toolchain.pipeline.report import create_report_job
from toolchain.pipeline.request import BuildRequest, Stage, get_tolerances
from toolchain.pipeline.validation_failure import create_validation_error
from toolchain.progress import Listener
from toolchain.stages.convert.request import (
    ConvertRequest,
    Float32Constants,
    InputFormat,
)
from toolchain.stages.export.request import ExportRequest
from toolchain.stages.layers.request import LayersRequest
from toolchain.stages.validate.request import ValidateRequest, Verdict
from toolchain.workspace.atomic import os_errors
from toolchain.workspace.digests import file_digest
from toolchain.workspace.environment import processor, version
from toolchain.workspace.layout import Layout
from toolchain.workspace.third_party import reuse_freed_memory

Facts = tuple[tuple[str, str], ...]


def create_jobs(request: BuildRequest, stage: Stage, sha384: str | None = None) -> tuple[Job, ...]:
    """The jobs of `stage`.

    `sha384`: the checkpoint's, where it is foreseen; None: that of the file, which must be there.
    Raises ToolchainError if it is not.
    """
    if stage == "report":
        return (create_report_job(request),)
    if stage == "quantize":
        return (create_build_quantization_job(request),) if INT8 in request.precisions else ()
    facts = collect_facts(request, sha384)
    if stage == "convert":
        return tuple(
            _create_build_conversion_job(request, precision, facts)
            for precision in request.converted
        )
    alone = {
        "export": create_export_job,
        "layers": _create_layers_job,
        "validate": _create_validate_job,
    }
    return (alone[stage](request, facts),) if stage in alone else ()


def create_export_job(request: BuildRequest, facts: Facts) -> Job:
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
        invalidates=layout.verdicts,
    )


def _export(work: ExportRequest) -> None:
    from toolchain.stages.export.export import export  # imports torch

    export(work)


def _create_build_conversion_job(request: BuildRequest, precision: str, facts: Facts) -> Job:
    layout = request.layout
    xml = layout.ir(precision)
    settings = _with_fixed_inputs(request)
    work = ConvertRequest(
        layout.onnx,
        xml,
        precision,
        settings,
        facts + collect_ir_facts(settings, request.input_format),
        request.model.model_info,
        Float32Constants.from_architecture(request.architecture),
        request.input_format,
        moves_preprocessing=True,
    )
    return create_conversion_job(work, f"convert-{precision}", layout)


def create_conversion_job(work: ConvertRequest, entry: str, layout: Layout) -> Job:
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
        invalidates=layout.verdicts,
    )


def _convert(work: ConvertRequest) -> None:
    from toolchain.stages.convert.convert import convert  # imports OpenVINO

    convert(work)


def _create_validate_job(request: BuildRequest, facts: Facts) -> Job:
    layout = request.layout
    work = ValidateRequest(
        name=layout.name,
        checkpoint=request.checkpoint,
        onnx=layout.onnx,
        irs=_list_irs(request),
        settings=request.export_settings,
        tolerances=get_tolerances(request.model),
        target=layout.validation,
        facts=facts + _collect_trust(request),
        composites=request.composites,
        captures=request.captures,
        devices=request.devices,
        scale=_get_scale(conversion_settings(request.model)),
        require_default=request.require_default,
    )

    def run(listener: Listener) -> None:
        try:
            verdict = _validate(work, listener)
        except ValidationError:  # not even comparable: an earlier verdict is not on these files
            layout.validation.unlink(missing_ok=True)
            raise
        if verdict != "pass":
            raise create_validation_error(layout)

    return Job(
        stage="validate",
        entry="validate",
        inputs=_list_compared_files(request),
        parameters={
            "settings": asdict(work.settings),
            "tolerances": [asdict(item) for item in work.tolerances],
            "composites": work.composites,
            "devices": work.devices,
            "scale": work.scale,
            "require_default": work.require_default,
            "seed": work.seed,
            "facts": work.facts,
            "processor": processor(),
        },
        tools=("torch", "onnxruntime", "openvino", "numpy", "pillow", "scipy"),
        outputs=(layout.validation,),
        work=run,
        invalidates=(layout.report, layout.report_text),
    )


def _validate(work: ValidateRequest, listener: Listener) -> Verdict:
    from toolchain.stages.validate.validate import validate  # imports torch and OpenVINO

    reuse_freed_memory()
    return validate(work, listener).verdict


def _get_scale(settings: ConversionSettings) -> tuple[float, ...]:
    """Divisor of the input values; that of the first input where each has its own."""
    return settings.scale[0][1] if settings.scale else (1.0,)


def _create_layers_job(request: BuildRequest, facts: Facts) -> Job:
    """A divergence is a finding, not a failure: the same files diverge again at the same place."""
    layout = request.layout
    work = LayersRequest(
        name=layout.name,
        checkpoint=request.checkpoint,
        onnx=layout.onnx,
        irs=_list_irs(request),
        settings=request.export_settings,
        tolerances=get_tolerances(request.model),
        target=layout.layers,
        facts=facts,
        mode=request.layers,
        captures=request.captures,
    )
    return Job(
        stage="layers",
        entry="layers",
        inputs=_list_compared_files(request),
        parameters={
            "settings": asdict(work.settings),
            "tolerances": [asdict(item) for item in work.tolerances],
            "mode": work.mode,
            "seed": work.seed,
            "facts": work.facts,
            "processor": processor(),
        },
        tools=("torch", "onnxruntime", "openvino", "numpy", "pillow", "scipy"),
        outputs=(layout.layers,),
        work=lambda listener: _compare_layers(work, listener),
        invalidates=(layout.layers,),
    )


def _compare_layers(work: LayersRequest, listener: Listener) -> None:
    from toolchain.stages.layers.layers import compare_layers  # imports torch and OpenVINO

    compare_layers(work, listener)


def _list_irs(request: BuildRequest) -> tuple[tuple[str, Path], ...]:
    return tuple((precision, request.layout.ir(precision)) for precision in request.precisions)


def _list_compared_files(request: BuildRequest) -> dict[str, Path]:
    """The files that are compared, and the pictures that they are compared on."""
    inputs = {"checkpoint": request.checkpoint, "onnx": request.layout.onnx}
    for precision, xml in _list_irs(request):
        inputs[f"{precision}.xml"] = xml
        inputs[f"{precision}.bin"] = xml.with_suffix(".bin")
    inputs.update(request.capture_files)
    return inputs


def collect_facts(request: BuildRequest, sha384: str | None = None) -> Facts:
    """Return the facts recorded in every file of a build; the same for the same inputs.

    `sha384`: see `create_jobs`.
    """
    model, weights, checkpoint = request.model, request.weights, request.checkpoint
    if sha384 is None and not checkpoint.is_file():
        raise ToolchainError(
            f"{checkpoint}: checkpoint not found",
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


def _collect_trust(request: BuildRequest) -> Facts:
    """On which published digest the weights rest.  Not in the models, whose bytes would change."""
    if request.weights.kind != "upstream":
        return ()
    return (("weights_rest_on", describe_anchor(request)),)


def collect_ir_facts(settings: ConversionSettings, input_format: InputFormat = "f32-nchw") -> Facts:
    """Return the facts recorded in an IR about its inputs and outputs."""
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
