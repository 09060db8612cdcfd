"""The commands `build`, `download`, `export`, `convert`, `quantize`, `validate` and `report`.

Each runs some stages of a build and has the options that these stages use.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.cli import layers
from toolchain.cli.console import make_listener, print_json
from toolchain.cli.options import (
    Commands,
    add_build,
    add_command,
    add_frames,
    add_inputs,
    add_network,
    read_build,
    read_settings,
    weights_line,
)
from toolchain.cli.values import list_of, parse_list, parse_positive
from toolchain.definitions.metrics import GRADES
from toolchain.definitions.variants import BUILT, BUILT_BY_DEFAULT, DEFAULT_DEVICE, FP16, INT8
from toolchain.errors import ToolchainError, ValidationError

if TYPE_CHECKING:
    from toolchain.pipeline.request import BuildRequest, Stage
    from toolchain.stages.convert.request import InputFormat
    from toolchain.stages.layers.request import LayersMode

INPUT_FORMATS: tuple[InputFormat, ...] = ("f32-nchw", "u8-nhwc")
LAYERS_MODES: tuple[LayersMode, ...] = ("all", "bisect")
# Defaults of all options that set a field of the request, also for the commands without them.
DEFAULTS: dict[str, Any] = {
    "input_size": None,
    "backbone_scale": None,
    "refine_mode": None,
    "refine_sample_pixels": None,
    "refine_threshold": None,
    "cache_dir": None,
    "num_attempts": 4,
    "accept": None,
    "cross_check": False,
    "precisions": BUILT_BY_DEFAULT,
    "input_format": INPUT_FORMATS[0],
    "inputs": [],
    "frames": 6,
    "devices": (DEFAULT_DEVICE,),
    "require_default": "",
    "layers": None,
    "dataset": None,
    "calibration": 24,
    "ignore_layer": [],
}


def add(commands: Commands) -> None:
    """Add the commands."""
    _add(
        commands,
        "build",
        "run all stages in order",
        ("download", "export", "convert", "quantize", "validate", "report"),
        _add_download,
        add_network,
        _add_precisions,
        _add_input_format,
        _add_validation,
        _add_quantization,
    )
    text = "fetch and verify the checkpoint"
    _add(commands, "download", text, ("download",), _add_download, _add_cross_check)
    _add(commands, "export", "export the checkpoint to ONNX", ("export",), add_network)
    text = "convert the ONNX to one IR per precision"
    convert = (add_network, _add_precisions, _add_input_format)
    _add(commands, "convert", text, ("convert",), *convert)
    text = f"quantize the {FP16} IR to {INT8}; kept only if its accuracy is within the limits"
    _add(commands, "quantize", text, ("quantize",), _add_quantize, example="--dataset captures")
    text = "compare every form of the model with the original"
    validate = (add_network, _add_precisions, _add_validation, _add_layers)
    _add(commands, "validate", text, ("validate",), *validate, example="--frames 2")
    text = "write the verdict, figures and images of a build to one HTML file"
    _add(commands, "report", text, ("report",), _add_report, example="--inputs captures")


def _add(
    commands: Commands,
    name: str,
    text: str,
    stages: tuple[Stage, ...],
    *options: Callable[[argparse.ArgumentParser], None],
    example: str = "",
) -> None:
    line = f"matting {name} --weights bundled {example}".rstrip()
    parser = add_command(commands, name, text, example=line, run=partial(_run, stages))
    parser.set_defaults(**DEFAULTS)
    for add_options in (add_build, *options):
        add_options(parser)


def _add_download(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cache-dir", "--cache_dir", type=Path, metavar="DIR", help="cache of downloaded files"
    )
    parser.add_argument(
        "--num-attempts",
        "--num_attempts",
        type=parse_positive,
        metavar="N",
        help="attempts per source (%(default)s)",
    )
    parser.add_argument(
        "--accept", metavar="FILE", help="accept that the digest of this checkpoint has changed"
    )


def _add_cross_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cross-check",
        action="store_true",
        help="compare the checkpoint with the published ONNX, which is downloaded if needed",
    )


def _add_precisions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--precisions",
        type=list_of(BUILT),
        metavar="P[,P]",
        help=f"of {', '.join(BUILT)} ({','.join(BUILT_BY_DEFAULT)})",
    )


def _add_input_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--input-format",
        choices=INPUT_FORMATS,
        help="inputs of the IRs: BGR as planar floats, or as bytes from a camera (%(default)s)",
    )


def _add_validation(parser: argparse.ArgumentParser) -> None:
    add_inputs(parser, "validate on")
    add_frames(parser, "number of generated frames (%(default)s)")
    parser.add_argument(
        "--devices",
        type=parse_list,
        metavar="D[,D]",
        help=f"OpenVINO devices to run the IRs on, such as CPU,GPU ({DEFAULT_DEVICE})",
    )
    parser.add_argument(
        "--require-default",
        choices=GRADES,
        metavar="GRADE",
        help="fail unless every IR has at least this grade, A to C, at the device's default "
        "precision (default: any grade)",
    )


def _add_layers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--layers",
        nargs="?",
        const=LAYERS_MODES[0],
        choices=LAYERS_MODES,
        help="also compare inner tensors and name the first over its limit; bisect reads only a "
        "few, one at a time",
    )


def _add_quantization(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(INT8)
    group.add_argument(
        "--dataset",
        type=Path,
        metavar="DIR",
        help="frames and clean plates for the calibration (default: generated ones)",
    )
    group.add_argument(
        "--calibration",
        type=parse_positive,
        metavar="N",
        help="calibrate on at most N frames (%(default)s)",
    )
    group.add_argument(
        "--ignore-layer",
        action="append",
        metavar="LAYER",
        help="layer not to quantize in addition to the usual ones, such as decoder.conv2 "
        "(repeatable)",
    )
    group.add_argument("--spare", dest="ignore_layer", action="append", help=argparse.SUPPRESS)


def _add_quantize(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(precisions=(INT8,))
    _add_quantization(parser)
    add_frames(parser, "number of generated frames to measure the accuracy on (%(default)s)")


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(frames=3)
    add_inputs(parser, "show")
    add_frames(parser, "number of generated frames to show (%(default)s)")


def _run(stages: tuple[Stage, ...], options: argparse.Namespace) -> int:
    from toolchain.cli import summary  # loads the pipeline
    from toolchain.pipeline.build import build, plan_build

    request = _read_request(stages, options)
    listener = make_listener(quiet=options.quiet)
    listener.note(weights_line(request.weights))
    if options.dry_run:
        planned = plan_build(request)
        if options.json:
            print_json([vars(entry) for entry in planned])
        else:
            for entry in planned:
                state = "would run" if entry.action == "run" else "up to date"
                print(f"{state:10} {entry.entry}: {entry.detail}")
        return 0
    try:
        result = build(request, listener)
    except ToolchainError as error:
        if isinstance(error, ValidationError) and error.verdict is not None:
            print(summary.format_failure(request, error.verdict, as_json=options.json), flush=True)
        if options.weights == "auto":  # the last line too shows which weights were chosen
            error.hint = "\n".join(filter(None, (error.hint, weights_line(request.weights))))
        raise
    checked = {}
    if options.cross_check:
        from toolchain.pipeline.crosscheck import run_cross_check

        checked["cross_check"] = run_cross_check(request, listener)
        print(checked["cross_check"], file=sys.stderr)
    if options.json:
        print_json(summary.as_json(result) | checked)
    else:
        print(summary.as_text(result), flush=True)
    if result.layers is not None:
        layers.require_pass(result.layers)
    return 0


def _read_request(stages: tuple[Stage, ...], options: argparse.Namespace) -> BuildRequest:
    request = read_build(options)
    return replace(
        request,
        settings=read_settings(options, request.model),
        precisions=options.precisions,
        stages=("layers", *stages) if options.layers else stages,
        layers=options.layers or request.layers,
        captures=tuple(options.inputs),
        composites=options.frames,
        devices=options.devices,
        require_default=options.require_default,
        cache_dir=options.cache_dir,
        attempts=options.num_attempts,
        accept=options.accept,
        input_format=options.input_format,
        quantization=replace(
            request.quantization,
            dataset=options.dataset,
            calibration=options.calibration,
            ignored=tuple(options.ignore_layer),
        ),
    )
