"""Quantization of a model for `omz_quantizer`: a converted IR to one with 8-bit integers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolchain.catalog.records import Model
from toolchain.definitions.architecture import find_architecture
from toolchain.definitions.ports import INPUTS
from toolchain.definitions.variants import FP32, QUANTIZED_FROM
from toolchain.errors import ToolchainError
from toolchain.pipeline.job import Forecast, Job, Outcome, run_job
from toolchain.pipeline.quantization import create_quantization_job
from toolchain.pipeline.request import get_tolerances
from toolchain.pipeline.weights import get_layout
from toolchain.progress import Listener
from toolchain.stages.quantize.request import Device, QuantizeRequest, require_nncf
from toolchain.workspace.atomic import os_errors, sweep
from toolchain.workspace.layout import Layout
from toolchain.workspace.ledger import Ledger
from toolchain.workspace.locking import lock

TASK = "background_matting"


@dataclass(frozen=True)
class QuantizeModelRequest:
    """One converted model to quantize.

    Attributes:
        model: The model.
        models: Root of the tree of converted models.
        output: Root of the tree of results.
        precision: Precision to make, a key of `QUANTIZED_FROM`.
        dataset: Folder of frames and clean plates for the calibration; None for generated ones.
        device: Device to quantize for, by NNCF's names.
    """

    model: Model
    models: Path
    output: Path
    precision: str
    dataset: Path | None = None
    device: Device = "ANY"

    @property
    def layout(self) -> Layout:
        """Paths of the results."""
        return get_layout(self.model, self.model.name, self.output)

    @property
    def target(self) -> Path:
        """Path of the quantized IR."""
        return self.layout.ir(self.precision)


def is_quantizable(model: Model) -> bool:
    """Whether this toolchain can calibrate and evaluate `model`: whether it mattes with a plate."""
    return model.task_type == TASK and {item.name for item in model.input_info} == set(INPUTS)


def quantize_model(request: QuantizeModelRequest, listener: Listener) -> Outcome:
    """Quantize the IR that `omz_converter` made, and compare it with its FP32 form if that exists.

    Args:
        request: What to quantize.
        listener: Receives notes and progress.

    Returns:
        The outcome.

    Raises:
        ToolchainError: The IR does not exist.
        QuantizationError: NNCF is missing or fails, or a limit is exceeded.
    """
    job = _job(request)
    folder = request.layout.folder
    with lock(folder):
        with os_errors(folder, "write"):
            folder.mkdir(parents=True, exist_ok=True)
            sweep(folder)
        return run_job(job, Ledger(folder), listener)


def has_quantization_to_do(request: QuantizeModelRequest) -> bool:
    """Whether `quantize_model` would do anything.  Changes nothing."""
    return Forecast(Ledger(request.layout.folder)).runs(_job(request))


def _job(request: QuantizeModelRequest) -> Job:
    require_nncf()
    given = get_layout(request.model, request.model.name, request.models)
    source, reference = given.ir(QUANTIZED_FROM[request.precision]), given.ir(FP32)
    for path in (source, source.with_suffix(".bin")):
        if not path.is_file():
            raise ToolchainError(
                f"{path}: file not found",
                kept="Nothing was changed.",
                hint=f"Run `omz_converter --name {request.model.name} -d {request.models}` first.",
            )
    work = QuantizeRequest(
        source=source,
        reference=reference if reference.is_file() else source,
        xml=request.target,
        tolerances=get_tolerances(request.model),
        ignored=find_architecture(request.model.name).ignored_layers,
        dataset=request.dataset,
        device=request.device,
    )
    return create_quantization_job(work, f"quantize-{request.precision}", request.layout)
