"""The jobs that make 8-bit IRs: for a build, and for `omz_quantizer`."""

from __future__ import annotations

from dataclasses import asdict

from toolchain.pipeline.job import Job
from toolchain.pipeline.request import (
    INT8,
    BuildRequest,
    pictures_below,
    tolerances_of,
)
from toolchain.stages.quantize import RECORD, QuantizeRequest, quantize
from toolchain.workspace.layout import Layout


def quantize_job(request: BuildRequest) -> Job:
    """The job that makes the FP16-INT8 IR of a build."""
    layout, wanted = request.layout, request.quantization
    work = QuantizeRequest(
        source=layout.ir("FP16"),
        reference=layout.ir("FP32"),
        xml=layout.ir(INT8),
        tolerances=tolerances_of(request.model),
        spared=(*request.architecture.ignored_layers, *wanted.spared),
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
        inputs |= pictures_below("dataset", work.dataset)
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
        voids=layout.verdicts,
    )
