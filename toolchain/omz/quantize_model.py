"""What `omz_quantizer` does with a model: a converted IR in, an 8-bit one out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolchain.catalog.records import Model
from toolchain.errors import ToolchainError
from toolchain.pipeline.job import Forecast, Job, Outcome, run
from toolchain.pipeline.quantization import quantization_job
from toolchain.pipeline.request import SPARED, tolerances_of
from toolchain.pipeline.weights import layout_of
from toolchain.progress import Listener
from toolchain.stages.quantize import Device, QuantizeRequest, require_nncf
from toolchain.workspace.atomic import os_errors, sweep
from toolchain.workspace.layout import Layout
from toolchain.workspace.ledger import Ledger
from toolchain.workspace.locking import lock

SOURCES = {"FP16-INT8": "FP16", "FP32-INT8": "FP32"}
TASK = "background_matting"


@dataclass(frozen=True)
class QuantizationRequest:
    """`models`, `output`: roots of trees.  `precision`: a key of `SOURCES`."""

    model: Model
    models: Path
    output: Path
    precision: str
    dataset: Path | None = None
    device: Device = "ANY"

    @property
    def layout(self) -> Layout:
        """Where the result lies."""
        return layout_of(self.model, self.model.name, self.output)

    @property
    def target(self) -> Path:
        """The IR to make."""
        return self.layout.ir(self.precision)


def quantizable(model: Model) -> bool:
    """Whether this toolchain knows how to feed and to judge `model`."""
    ports = {item.name for item in model.input_info}
    return model.task_type == TASK and ports == {"src", "bgr"}


def quantize_converted(request: QuantizationRequest, listener: Listener) -> Outcome:
    """Quantise the IR that `omz_converter` made, held against its FP32 form if that is there.

    Raises ToolchainError for an IR that is not there, and what the stage raises.
    """
    job = _job(request)
    folder = request.layout.folder
    with lock(folder):
        with os_errors(folder, "write"):
            folder.mkdir(parents=True, exist_ok=True)
            sweep(folder)
        return run(job, Ledger(folder), listener)


def foresee_quantization(request: QuantizationRequest) -> bool:
    """Whether `quantize_converted` would have anything to do.  Touches nothing."""
    return Forecast(Ledger(request.layout.folder)).runs(_job(request))


def _job(request: QuantizationRequest) -> Job:
    require_nncf()
    given = layout_of(request.model, request.model.name, request.models)
    source, exact = given.ir(SOURCES[request.precision]), given.ir("FP32")
    for path in (source, source.with_suffix(".bin")):
        if not path.is_file():
            raise ToolchainError(
                f"{path}: is not there",
                kept="Nothing was changed.",
                hint=f"Run `omz_converter --name {request.model.name} -d {request.models}` first.",
            )
    work = QuantizeRequest(
        source=source,
        reference=exact if exact.is_file() else source,
        xml=request.target,
        tolerances=tolerances_of(request.model),
        spared=SPARED,
        dataset=request.dataset,
        device=request.device,
    )
    return quantization_job(work, f"quantize-{request.precision}", request.layout)
