"""Jobs that quantize IRs: of a build, and of `omz_quantizer`."""

from __future__ import annotations

from dataclasses import asdict

from toolchain.definitions.variants import FP16, FP32, INT8
from toolchain.pipeline.job import Job
from toolchain.pipeline.request import (
    BuildRequest,
    get_tolerances,
    list_files,
)
from toolchain.progress import Listener
from toolchain.stages.quantize.request import RECORD, QuantizeRequest
from toolchain.workspace.layout import Layout


def create_build_quantization_job(request: BuildRequest) -> Job:
    """Create the job that writes the FP16-INT8 IR of a build."""
    layout, wanted = request.layout, request.quantization
    work = QuantizeRequest(
        source=layout.ir(FP16),
        reference=layout.ir(FP32),
        xml=layout.ir(INT8),
        tolerances=get_tolerances(request.model),
        ignored=(*request.architecture.ignored_layers, *wanted.ignored),
        dataset=wanted.dataset,
        calibration=wanted.calibration,
        composites=request.composites,
    )
    return create_quantization_job(work, f"quantize-{INT8}", layout)


def create_quantization_job(work: QuantizeRequest, entry: str, layout: Layout) -> Job:
    """Create the job that writes one 8-bit IR in the folder of `layout`."""
    inputs = {}
    for name, xml in (("source", work.source), ("reference", work.reference)):
        inputs[f"{name}.xml"] = xml
        inputs[f"{name}.bin"] = xml.with_suffix(".bin")
    if work.dataset is not None:
        inputs |= list_files("dataset", work.dataset)
    return Job(
        stage="quantize",
        entry=entry,
        inputs=inputs,
        parameters={
            "tolerances": [asdict(item) for item in work.tolerances if item.variant.form == INT8],
            "ignored": work.ignored,
            "calibration": work.calibration,
            "composites": work.composites,
            "device": work.device,
        },
        tools=("nncf", "openvino", "numpy", "pillow", "scipy"),
        outputs=(work.xml, work.xml.with_suffix(".bin"), work.xml.with_name(RECORD)),
        work=lambda listener: _quantize(work, listener),
        invalidates=layout.verdicts,
    )


def _quantize(work: QuantizeRequest, listener: Listener) -> None:
    from toolchain.stages.quantize.quantize import quantize  # imports OpenVINO

    quantize(work, listener)
