"""One checkpoint through the real export, conversion and validation, whole or with a fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
import torch

from toolchain.catalog.arguments import ConversionSettings, ExportSettings, conversion_settings
from toolchain.catalog.builtin import builtin_config
from toolchain.catalog.reader import read_model
from toolchain.definitions.architecture import MOBILENETV2
from toolchain.errors import ToolchainError
from toolchain.runtimes.openvino_api import openvino
from toolchain.stages.convert.convert import convert
from toolchain.stages.convert.request import ConvertRequest, Float32Constants
from toolchain.stages.export.export import export
from toolchain.stages.export.request import ExportRequest
from toolchain.stages.validate.request import ValidateRequest
from toolchain.stages.validate.validate import validate

SETTINGS = ExportSettings(320, 192, sample_pixels=8_000)  # patches per pixel as at 1280x720
FRAMES = 2
State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Build:
    """A correct build of one checkpoint.

    Attributes:
        folder: Folder of its files.
        request: Request of its validation.
    """

    folder: Path
    request: ValidateRequest

    @property
    def xml(self) -> dict[str, Path]:
        """The IRs by precision."""
        return dict(self.request.irs)


@dataclass(frozen=True)
class Outcome:
    """Result of a trial.

    Attributes:
        verdict: "pass", "fail", "undecidable", or "error" where a stage refused the files.
        reason: First failure, "" for a pass.
        own_error: Largest error of PyTorch at float32.
        ratio: Largest error of ONNX or FP32 as a multiple of that, 0 where not measured.
    """

    verdict: str
    reason: str
    own_error: float = 0.0
    ratio: float = 0.0


def make_build(state: State, folder: Path, settings: ExportSettings = SETTINGS) -> Build:
    """Save, export and convert a checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "weights.pth"
    torch.save(state, checkpoint)
    onnx_file = export_to(checkpoint, folder / "m.onnx", settings)
    irs = tuple(
        (precision, convert_to(onnx_file, folder / precision / "m.xml", precision))
        for precision in ("FP32", "FP16")
    )
    request = ValidateRequest(
        name="m",
        checkpoint=checkpoint,
        onnx=onnx_file,
        irs=irs,
        settings=settings,
        tolerances=read_model(builtin_config()).tolerances,
        target=folder / "validation.json",
        composites=FRAMES,
    )
    return Build(folder, request)


def export_to(checkpoint: Path, target: Path, settings: ExportSettings = SETTINGS) -> Path:
    """Export a checkpoint."""
    export(ExportRequest(checkpoint, target, settings, ()))
    return target


def convert_to(
    onnx_file: Path,
    xml: Path,
    precision: str,
    change: Callable[[ConversionSettings], ConversionSettings] = lambda settings: settings,
) -> Path:
    """Convert an ONNX as a build does; `change` alters the settings."""
    shape = (1, 3, SETTINGS.height, SETTINGS.width)
    settings = conversion_settings(read_model(builtin_config()))
    settings = change(replace(settings, shapes=(("src", shape), ("bgr", shape))))
    convert(
        ConvertRequest(
            onnx_file,
            xml,
            precision,
            settings,
            (),
            float32_constants=Float32Constants.from_architecture(MOBILENETV2),
            moves_preprocessing=True,
        )
    )
    return xml


def with_edited_onnx(build: Build, folder: Path, edit: Callable[[Any], None]) -> ValidateRequest:
    """Change the exported graph, and convert it."""
    folder.mkdir(parents=True, exist_ok=True)
    model = onnx.load(build.request.onnx)
    edit(model)
    path = folder / "m.onnx"
    onnx.save(model, path)
    return with_onnx(build, folder, path)


def with_onnx(build: Build, folder: Path, path: Path) -> ValidateRequest:
    """Put another ONNX in the place of the exported one."""
    xml = convert_to(path, folder / "FP32" / "m.xml", "FP32")
    return replace(
        build.request, onnx=path, irs=(("FP32", xml),), target=folder / "validation.json"
    )


def with_edited_ir(
    build: Build, folder: Path, precision: str, edit: Callable[[Any], None]
) -> ValidateRequest:
    """Change one IR."""
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})
    model = core.read_model(build.xml[precision])
    edit(model)
    xml = folder / precision / "m.xml"
    xml.parent.mkdir(parents=True, exist_ok=True)
    openvino.save_model(model, xml, compress_to_fp16=False)
    return with_ir(build, folder, precision, xml)


def with_ir(build: Build, folder: Path, precision: str, xml: Path) -> ValidateRequest:
    """Put another IR in the place of the converted one."""
    irs = tuple((name, xml if name == precision else old) for name, old in build.request.irs)
    return replace(build.request, irs=irs, target=folder / "validation.json")


def judge(request: ValidateRequest) -> Outcome:
    """Validate; an error of a stage is an outcome too."""
    try:
        result = validate(request)
    except ToolchainError as error:
        return Outcome("error", error.message.splitlines()[0])
    failures = [f"{run.variant}: {text}" for run in result.runs for text in run.failures]
    keys = [f"{name}_max_error" for name in ("pha", "fgr")]
    exact = [run for run in result.runs if run.variant.hint == "f32" and run.variant.form != "FP16"]
    own = max((run.bases[key] or 0.0 for run in exact for key in keys), default=0.0)
    ratios = [
        (run.figures[key] or 0.0) / base
        for run in exact
        for key in keys
        if (base := run.bases[key])
    ]
    reason = failures[0] if failures else ""
    return Outcome(result.verdict, reason, own, max(ratios, default=0.0))
