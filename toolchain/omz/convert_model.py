"""What `omz_converter` does with a model: downloaded files in, IR out, rounded as it did."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from toolchain import __version__
from toolchain.catalog.arguments import ConversionSettings, conversion_settings, substitute
from toolchain.catalog.records import Model, UnpackArchive
from toolchain.definitions.ports import OUTPUTS
from toolchain.errors import ConversionError, ToolchainError
from toolchain.pipeline.job import Forecast, Job, Outcome, run
from toolchain.pipeline.jobs import conversion_job, export_job, facts_of, ir_facts
from toolchain.pipeline.obtain import obtain
from toolchain.pipeline.request import BuildRequest
from toolchain.pipeline.weights import choose, layout_of
from toolchain.progress import Listener
from toolchain.stages.convert import ConvertRequest, Precision
from toolchain.stages.download import DownloadRequest, download
from toolchain.workspace.atomic import os_errors, sweep
from toolchain.workspace.digests import file_digest
from toolchain.workspace.environment import version
from toolchain.workspace.layout import Layout
from toolchain.workspace.ledger import Ledger
from toolchain.workspace.locking import lock

CONVERTIBLE = ("onnx", "pytorch")
OTHER_NETWORK = "--model-name"  # in conversion_to_onnx_args: a class in code that is not here
_EXPORTING = threading.Lock()  # PyTorch's exporter is not made for threads


@dataclass(frozen=True)
class ConversionRequest:
    """`downloads`, `output`: roots of trees.  `arguments`: for Model Optimizer, model.yml's first.

    `precisions`: those to make, each of which the model has.
    """

    model: Model
    downloads: Path
    output: Path
    precisions: tuple[str, ...]
    arguments: tuple[str, ...] = ()

    @property
    def layout(self) -> Layout:
        """Where the results lie."""
        return layout_of(self.model, self.model.name, self.output)

    @property
    def download_folder(self) -> Path:
        """Where the downloaded files lie."""
        return layout_of(self.model, self.model.name, self.downloads).folder


@dataclass(frozen=True)
class Conversion:
    """What would be done for one file: "run", or "keep" what still holds."""

    entry: str
    action: Literal["run", "keep"]
    target: Path


def convert_downloaded(request: ConversionRequest, listener: Listener) -> tuple[Outcome, ...]:
    """Verify the downloaded files, export if they are a checkpoint, convert to each precision.

    Nothing is downloaded.  Raises ConversionError for a framework that needs another tool,
    ToolchainError for a file that is not there, and whatever the stages raise.
    """
    _check(request)
    settings = conversion_settings(request.model, request.arguments)
    folder = request.layout.folder
    outcomes = []
    with _locked(request):
        with os_errors(folder, "write"):
            folder.mkdir(parents=True, exist_ok=True)
            sweep(folder)
        ledger = Ledger(folder)
        _verify(request, settings, listener)
        if request.model.framework == "pytorch":
            with _EXPORTING:
                outcomes.append(run(_export_job(request), ledger, listener))
        for precision in request.precisions:
            job = _job(request, settings, precision)  # its facts need the ONNX to be there
            outcomes.append(run(job, ledger, listener))
    return tuple(outcomes)


def foresee_conversion(request: ConversionRequest) -> tuple[Conversion, ...]:
    """What `convert_downloaded` would do, without touching anything."""
    _check(request)
    settings = conversion_settings(request.model, request.arguments)
    _check_files(request, settings)
    forecast = Forecast(Ledger(request.layout.folder))
    jobs = [_job(request, settings, precision) for precision in request.precisions]
    if request.model.framework == "pytorch":
        jobs.insert(0, _export_job(request))
    return tuple(
        Conversion(job.entry, "run" if forecast.runs(job) else "keep", job.outputs[0])
        for job in jobs
    )


@contextlib.contextmanager
def _locked(request: ConversionRequest) -> Iterator[None]:
    """Hold both folders, always in one order; they may be the same."""
    folders = {folder.absolute() for folder in (request.layout.folder, request.download_folder)}
    with contextlib.ExitStack() as stack:
        for folder in sorted(folders):
            stack.enter_context(lock(folder))
        yield


def _check(request: ConversionRequest) -> None:
    model = request.model
    if model.framework not in CONVERTIBLE:
        raise ConversionError(
            f"{model.name}: its framework is {model.framework}, and what reads that is missing "
            f"here: this toolchain converts {' and '.join(CONVERTIBLE)} models",
            kept="Nothing was written.",
            hint="OpenVINO's `ovc` reads TensorFlow models; an IR (dldt) needs no conversion.",
        )
    named = [item for item in model.conversion_to_onnx_args or () if item.startswith(OTHER_NETWORK)]
    if named:
        raise ConversionError(
            f"{model.name}: is a PyTorch model of another network ({named[0]}), and the code of "
            "that is missing here: of PyTorch models this toolchain exports its own alone",
            kept="Nothing was written.",
            hint="Export it to ONNX with its own code, and describe that file in a model.yml of "
            "framework onnx.",
        )


def _verify(request: ConversionRequest, settings: ConversionSettings, listener: Listener) -> None:
    """Hold every downloaded file against its digest; fetch nothing."""
    model, folder = request.model, request.download_folder
    _check_files(request, settings)
    if model.framework == "pytorch":
        obtain(_build_request(request), listener)
        return
    changed = {step.file for step in model.postprocessing}  # on purpose
    files = (replace(file, sources=()) for file in model.files if file.name not in changed)
    download(DownloadRequest(files=tuple(files), folder=folder), listener)


def _check_files(request: ConversionRequest, settings: ConversionSettings) -> None:
    """Raise unless every downloaded file is there, in whatever state, and so is the ONNX."""
    model, folder = request.model, request.download_folder
    unpacked = {step.file for step in model.postprocessing if isinstance(step, UnpackArchive)}
    needed = [folder / file.name for file in model.files if file.name not in unpacked]
    if model.framework == "onnx":
        needed.append(_onnx(request, settings))
    missing = [path for path in dict.fromkeys(needed) if not path.is_file()]
    if missing:
        names = ", ".join(
            path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
            for path in missing
        )
        raise ToolchainError(
            f"{folder}: has no {names}",
            kept="Nothing was changed.",
            hint=f"Run `omz_downloader --name {model.name} -o {request.downloads}` first, or put "
            "the file there by hand.",
        )


def _build_request(request: ConversionRequest) -> BuildRequest:
    model = request.model
    return BuildRequest(
        model=model,
        weights=choose(model, "upstream", request.output),
        output=request.output,
        source=request.downloads,
        offline=True,
    )


def _export_job(request: ConversionRequest) -> Job:
    build = _build_request(request)
    return export_job(build, facts_of(build))


def _job(request: ConversionRequest, settings: ConversionSettings, precision: str) -> Job:
    layout = request.layout
    rounding: Precision = "FP16" if precision.startswith("FP16") else "FP32"
    if settings.compress_to_fp16 is not None:  # --add_mo_arg has the last word, as it had
        rounding = "FP16" if settings.compress_to_fp16 else "FP32"
    name = settings.model_name or layout.name
    xml = layout.folder / precision / f"{name}.xml"
    onnx = _onnx(request, settings)
    work = ConvertRequest(
        onnx=onnx,
        xml=xml,
        precision=rounding,
        settings=settings,
        facts=_facts(request, onnx, settings),
        model_info=request.model.model_info,
    )
    return conversion_job(work, f"convert-{precision}", layout)


def _onnx(request: ConversionRequest, settings: ConversionSettings) -> Path:
    if request.model.framework == "pytorch":
        return request.layout.onnx
    folders: Mapping[str, object] = {
        "dl_dir": request.download_folder,
        "conv_dir": request.layout.folder,
        "config_dir": request.model.config_path.parent,
    }
    if settings.input_model is None:
        raise ConversionError(
            f"{request.model.config_path}: model_optimizer_args name no --input_model",
            kept="Nothing was written.",
            hint="Add --input_model=$dl_dir/<file>.onnx to them.",
        )
    (path,) = substitute((settings.input_model,), folders, request.model.config_path)
    return Path(path)


def _facts(
    request: ConversionRequest, onnx: Path, settings: ConversionSettings
) -> tuple[tuple[str, str], ...]:
    if request.model.framework == "pytorch":
        return facts_of(_build_request(request)) + ir_facts(settings)
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
        return facts + ir_facts(settings)
    return (*facts, ("openvino", version("openvino")))  # what it takes and gives is not known
