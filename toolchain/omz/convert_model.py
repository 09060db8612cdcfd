"""Conversion of a model for `omz_converter`: verified downloads to IR, rounded as there."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from toolchain import __version__
from toolchain.catalog.arguments import ConversionSettings, conversion_settings, substitute
from toolchain.catalog.records import Model, UnpackArchive
from toolchain.definitions.ports import OUTPUTS
from toolchain.errors import ConversionError, ToolchainError
from toolchain.pipeline.job import Forecast, Job, Outcome, run_job
from toolchain.pipeline.jobs import (
    collect_facts,
    collect_ir_facts,
    create_conversion_job,
    create_export_job,
)
from toolchain.pipeline.obtain import obtain_checkpoint
from toolchain.pipeline.request import BuildRequest
from toolchain.pipeline.weights import choose_weights, get_layout
from toolchain.progress import Listener
from toolchain.stages.convert.request import ConvertRequest
from toolchain.stages.download.download import download
from toolchain.stages.download.request import DownloadRequest
from toolchain.workspace.atomic import os_errors, sweep
from toolchain.workspace.digests import file_digest
from toolchain.workspace.environment import version
from toolchain.workspace.layout import Layout
from toolchain.workspace.ledger import Ledger
from toolchain.workspace.locking import lock

CONVERTIBLE = ("onnx", "pytorch")
OTHER_NETWORK = "--model-name"  # in conversion_to_onnx_args: a class in code that is not included
_EXPORTING = threading.Lock()  # PyTorch's exporter is not thread-safe


@dataclass(frozen=True)
class ConvertModelRequest:
    """One model to convert.

    Attributes:
        model: The model.
        downloads: Root of the tree of downloaded files.
        output: Root of the tree of results.
        precisions: Precisions to make; the model has each of them.
        arguments: Arguments for Model Optimizer that have priority over those of model.yml.
    """

    model: Model
    downloads: Path
    output: Path
    precisions: tuple[str, ...]
    arguments: tuple[str, ...] = ()

    @property
    def layout(self) -> Layout:
        """Paths of the results."""
        return get_layout(self.model, self.model.name, self.output)

    @property
    def download_folder(self) -> Path:
        """Folder of the downloaded files."""
        return get_layout(self.model, self.model.name, self.downloads).folder


@dataclass(frozen=True)
class PlannedFile:
    """What a conversion would do for one file.

    Attributes:
        entry: Name of the step.
        runs: Whether the step would run; if not, the file is up to date.
        target: Path of the file.
    """

    entry: str
    runs: bool
    target: Path


def convert_model(request: ConvertModelRequest, listener: Listener) -> tuple[Outcome, ...]:
    """Verify the downloaded files, export a checkpoint to ONNX, convert to each precision.

    Nothing is downloaded.

    Args:
        request: What to convert.
        listener: Receives notes and progress.

    Returns:
        The outcome of each step.

    Raises:
        ConversionError: The framework or the network is not supported.
        UsageError: An argument cannot be translated.
        ToolchainError: A file is missing, differs from its digest, or cannot be converted.
    """
    _check_supported(request.model)
    settings = conversion_settings(request.model, request.arguments)
    _check_downloads_exist(request, settings)
    folder = request.layout.folder
    outcomes = []
    with _lock_folders(folder, request.download_folder):
        with os_errors(folder, "write"):
            folder.mkdir(parents=True, exist_ok=True)
            sweep(folder)
        ledger = Ledger(folder)
        _verify_downloads(request, listener)
        if request.model.framework == "pytorch":
            with _EXPORTING:
                outcomes.append(run_job(_export_job(request), ledger, listener))
        for precision in request.precisions:
            job = _conversion_job(request, settings, precision)  # reads the ONNX's digest
            outcomes.append(run_job(job, ledger, listener))
    return tuple(outcomes)


def plan_conversion(request: ConvertModelRequest) -> tuple[PlannedFile, ...]:
    """List what `convert_model` would do, without changing anything.

    Args:
        request: What to convert.

    Returns:
        The files, in the order of the steps.

    Raises:
        ToolchainError: See `convert_model`.
    """
    _check_supported(request.model)
    settings = conversion_settings(request.model, request.arguments)
    _check_downloads_exist(request, settings)
    jobs = [_conversion_job(request, settings, precision) for precision in request.precisions]
    if request.model.framework == "pytorch":
        jobs.insert(0, _export_job(request))
    forecast = Forecast(Ledger(request.layout.folder))
    return tuple(PlannedFile(job.entry, forecast.runs(job), job.outputs[0]) for job in jobs)


@contextlib.contextmanager
def _lock_folders(*folders: Path) -> Iterator[None]:
    """Lock the folders, always in the same order; they may be the same."""
    with contextlib.ExitStack() as stack:
        for folder in sorted({folder.absolute() for folder in folders}):
            stack.enter_context(lock(folder))
        yield


def _check_supported(model: Model) -> None:
    if model.framework not in CONVERTIBLE:
        raise ConversionError(
            f"{model.name}: framework {model.framework} is not supported; this toolchain converts "
            f"{' and '.join(CONVERTIBLE)} models",
            kept="Nothing was written.",
            hint="OpenVINO's `ovc` reads TensorFlow models; an IR (dldt) needs no conversion.",
        )
    named = [item for item in model.conversion_to_onnx_args or () if item.startswith(OTHER_NETWORK)]
    if named:
        raise ConversionError(
            f"{model.name}: PyTorch model of another network ({named[0]}), whose code is not "
            "included; this toolchain exports only its own network",
            kept="Nothing was written.",
            hint="Export it to ONNX with its own code, and describe that file in a model.yml of "
            "framework onnx.",
        )


def _verify_downloads(request: ConvertModelRequest, listener: Listener) -> None:
    """Compare every downloaded file with its digest; fetch nothing."""
    model = request.model
    if model.framework == "pytorch":
        obtain_checkpoint(_build_request(request), listener)
        return
    changed = {step.file for step in model.postprocessing}
    files = [replace(file, sources=()) for file in model.files if file.name not in changed]
    download(DownloadRequest(files=tuple(files), folder=request.download_folder), listener)


def _check_downloads_exist(request: ConvertModelRequest, settings: ConversionSettings) -> None:
    model, folder = request.model, request.download_folder
    unpacked = {step.file for step in model.postprocessing if isinstance(step, UnpackArchive)}
    needed = [folder / file.name for file in model.files if file.name not in unpacked]
    if model.framework == "onnx":
        needed.append(_onnx_path(request, settings))
    missing = [path for path in dict.fromkeys(needed) if not path.is_file()]
    if missing:
        raise ToolchainError(
            f"{folder}: file not found: {', '.join(_relative(missing, folder))}",
            kept="Nothing was changed.",
            hint=f"Run `omz_downloader --name {model.name} -o {request.downloads}` first, or copy "
            "the file to this folder.",
        )


def _relative(paths: Sequence[Path], folder: Path) -> list[str]:
    return [
        path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
        for path in paths
    ]


def _build_request(request: ConvertModelRequest) -> BuildRequest:
    model = request.model
    return BuildRequest(
        model=model,
        weights=choose_weights(model, "upstream", request.output),
        output=request.output,
        source=request.downloads,
        offline=True,
    )


def _export_job(request: ConvertModelRequest) -> Job:
    build = _build_request(request)
    return create_export_job(build, collect_facts(build))


def _conversion_job(
    request: ConvertModelRequest, settings: ConversionSettings, precision: str
) -> Job:
    layout = request.layout
    half = settings.compress_to_fp16  # of --add_mo_arg, which has priority over the folder
    if half is None:
        half = precision.startswith("FP16")
    onnx = _onnx_path(request, settings)
    work = ConvertRequest(
        onnx=onnx,
        xml=layout.folder / precision / f"{settings.model_name or layout.name}.xml",
        precision="FP16" if half else "FP32",
        settings=settings,
        facts=_facts(request, onnx, settings),
        model_info=request.model.model_info,
    )
    return create_conversion_job(work, f"convert-{precision}", layout)


def _onnx_path(request: ConvertModelRequest, settings: ConversionSettings) -> Path:
    if request.model.framework == "pytorch":
        return request.layout.onnx
    config = request.model.config_path
    if settings.input_model is None:
        raise ConversionError(
            f"{config}: no --input_model in model_optimizer_args",
            kept="Nothing was written.",
            hint="Add --input_model=$dl_dir/<file>.onnx to them.",
        )
    folders = {
        "dl_dir": request.download_folder,
        "conv_dir": request.layout.folder,
        "config_dir": config.parent,
    }
    (path,) = substitute((settings.input_model,), folders, config)
    return Path(path)


def _facts(
    request: ConvertModelRequest, onnx: Path, settings: ConversionSettings
) -> tuple[tuple[str, str], ...]:
    if request.model.framework == "pytorch":
        return collect_facts(_build_request(request)) + collect_ir_facts(settings)
    digest = file_digest(onnx, "sha384").value if onnx.is_file() else ""
    facts = (
        ("model", request.model.name),
        ("source", onnx.name),
        ("source_sha384", digest),
        ("license", request.model.license_url),
        ("toolchain", __version__),
        ("onnx", version("onnx")),
    )
    if settings.outputs == OUTPUTS:
        return facts + collect_ir_facts(settings)
    return (*facts, ("openvino", version("openvino")))  # meaning of inputs and outputs unknown
