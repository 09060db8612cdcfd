"""What the options of a `matting` command ask for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain.cli import quantize

if TYPE_CHECKING:
    from toolchain.catalog.arguments import ExportSettings
    from toolchain.catalog.records import Model
    from toolchain.pipeline.request import BuildRequest, Stage

NETWORK_FLAGS = (
    "input_size",
    "backbone_scale",
    "refine_mode",
    "refine_sample_pixels",
    "refine_threshold",
)
STAGES: dict[str, tuple[Stage, ...]] = {
    "build": ("download", "export", "convert", "quantize", "validate", "report"),
    "download": ("download",),
    "export": ("export",),
    "convert": ("convert",),
    "quantize": ("quantize",),
    "validate": ("validate",),
    "report": ("report",),
}


def request_of(options: argparse.Namespace) -> BuildRequest:
    """The request; raises UsageError for options that make no sense."""
    from toolchain.definitions.variants import BUILT as KNOWN
    from toolchain.errors import UsageError
    from toolchain.pipeline.request import BuildRequest
    from toolchain.pipeline.weights import choose

    model = _model(options.config)
    weights = choose(model, options.weights, options.output, options.name)
    fallback = "FP16-INT8" if options.command == "quantize" else "FP32,FP16"
    wanted = getattr(options, "precisions", fallback).split(",")
    unknown = [name for name in wanted if name not in KNOWN]
    if unknown:
        raise UsageError(
            f"--precisions: unknown {', '.join(unknown)}", hint=f"Known: {', '.join(KNOWN)}."
        )
    how = getattr(options, "layers", None)
    return BuildRequest(
        model=model,
        weights=weights,
        output=options.output,
        settings=_settings(options, model),
        precisions=tuple(name for name in KNOWN if name in wanted),
        stages=(*(("layers",) if how else ()), *STAGES.get(options.command, ())),
        layers=how or "all",
        captures=tuple(getattr(options, "inputs", ())),
        composites=getattr(options, "frames", None) or 6,
        devices=tuple(getattr(options, "devices", "CPU").split(",")),
        cache_dir=getattr(options, "cache_dir", None),
        attempts=getattr(options, "num_attempts", 4),
        accept=getattr(options, "accept", None),
        input_format=getattr(options, "input_format", "f32-nchw"),
        quantization=quantize.wanted(options),
    )


def _model(config: Path | None) -> Model:
    from toolchain.catalog.builtin import builtin_config
    from toolchain.catalog.reader import read_model
    from toolchain.errors import UsageError

    model = read_model(config or builtin_config())
    if model.framework != "pytorch":
        raise UsageError(
            f"{model.config_path}: its framework is {model.framework}; matting works from a "
            "PyTorch checkpoint",
            hint="Use omz_downloader and omz_converter with --config for it.",
        )
    return model


def _settings(options: argparse.Namespace, model: Model) -> ExportSettings | None:
    from toolchain.catalog.arguments import export_settings, with_overrides

    given = {name: getattr(options, name, None) for name in NETWORK_FLAGS}
    if not any(value is not None for value in given.values()):
        return None
    return with_overrides(export_settings(model), **given)
