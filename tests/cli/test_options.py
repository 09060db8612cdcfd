"""Options: their spellings, their defaults, and the build requests that they give."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

import pytest

from toolchain.cli import stages, unpack
from toolchain.cli.main import create_parser, main
from toolchain.cli.stages import _read_request
from toolchain.cli.values import list_of, parse_size
from toolchain.definitions.variants import BUILT, FORMS
from toolchain.package.layouts import LAYOUTS
from toolchain.pipeline.request import BuildRequest, Quantization
from toolchain.stages.convert.request import InputFormat
from toolchain.stages.layers.request import LAYERS_MODES

Capture = pytest.CaptureFixture[str]
STAGE_COMMANDS = ("build", "download", "export", "convert", "quantize", "validate", "report")


def read(*arguments: str) -> BuildRequest:
    options = create_parser().parse_args([*arguments, "--weights", "bundled"])
    return _read_request(options.run.args[0], options)


def test_every_command_has_a_function_to_run() -> None:
    """`main` needs no table of commands."""
    required = {
        "run": ["--src", "a", "--bgr", "b", "-o", "c"],
        "verify": ["a"],
        "unpack": ["a", "-o", "b"],
    }
    commands = (*STAGE_COMMANDS, "evaluate", "run", "serve", "package", "verify", "unpack", "info")
    for command in commands:
        options = create_parser().parse_args([command, *required.get(command, [])])
        assert callable(options.run)


@pytest.mark.parametrize("command", STAGE_COMMANDS)
def test_defaults_are_those_of_the_build_request(command: str) -> None:
    """Without options the request has its defaults, but for the stages and what they use."""
    request = read(command)
    default = BuildRequest(request.model, request.weights, Path("build"))
    changed = {name for name, value in vars(request).items() if value != getattr(default, name)} - {
        "stages"
    }
    assert changed == {"quantize": {"precisions"}, "report": {"composites"}}.get(command, set())
    assert request.stages == (default.stages if command == "build" else (command,))


def test_options_set_the_fields_of_the_request() -> None:
    """Each option sets its field; --layers adds a stage."""
    request = read(
        *("build", "--precisions", "fp16-int8,FP32", "--input-format", "u8-nhwc"),
        *("--inputs", "a", "--inputs", "b", "--frames", "2", "--devices", "CPU,GPU"),
        *("--cache-dir", "c", "--num-attempts", "7", "--accept", "x.pth", "--input-size", "64x96"),
        *("--dataset", "d", "--calibration", "5", "--ignore-layer", "aspp", "--spare", "decoder"),
    )
    assert request.precisions == ("FP32", "FP16-INT8")
    assert request.input_format == "u8-nhwc"
    assert request.captures == (Path("a"), Path("b"))
    assert (request.composites, request.devices) == (2, ("CPU", "GPU"))
    assert (request.cache_dir, request.attempts, request.accept) == (Path("c"), 7, "x.pth")
    assert request.settings is not None
    assert (request.settings.width, request.settings.height) == (64, 96)
    assert request.quantization == Quantization(Path("d"), 5, ("aspp", "decoder"))
    request = read("validate", "--layers", "bisect")
    assert (request.stages, request.layers) == (("layers", "validate"), "bisect")
    assert read("validate", "--layers").layers == "all"
    assert read("validate", "--require-default", "B").require_default == "B"
    assert read("build").require_default == ""


def test_older_spellings_work_and_the_dashed_one_comes_first(capsys: Capture) -> None:
    """--cache_dir and --num_attempts have both spellings; --spare is not in the help."""
    assert read("download", "--cache_dir", "c", "--num_attempts", "2").attempts == 2
    assert main(["build", "--help"]) == 0
    text = capsys.readouterr().out
    for dashed in ("--cache-dir", "--num-attempts"):
        assert text.index(f"{dashed} ") < text.index(dashed[:2] + dashed[2:].replace("-", "_"))
    assert "--ignore-layer" in text
    assert "--spare" not in text


def test_choices_are_those_of_the_stages() -> None:
    """Choices that the command line repeats, to start fast, are the complete ones."""
    assert get_args(InputFormat) == stages.INPUT_FORMATS
    assert LAYERS_MODES == stages.LAYERS_MODES
    assert LAYOUTS == unpack.LAYOUTS


def test_lists_of_names_are_in_any_case_and_in_order() -> None:
    """Each name appears once; unknown names are listed with the valid ones."""
    assert list_of(FORMS)("onnx,FP16,Original,ONNX") == ("original", "ONNX", "FP16")
    with pytest.raises(argparse.ArgumentTypeError, match="unknown INT4, x; expected FP32, FP16"):
        list_of(BUILT)("INT4,FP32,x")
    with pytest.raises(argparse.ArgumentTypeError, match="unknown ''"):
        list_of(BUILT)("")


def test_sizes_are_width_and_height() -> None:
    """The separator is x or X."""
    assert parse_size("1920X1080") == (1920, 1080)
    with pytest.raises(argparse.ArgumentTypeError, match="expected WxH"):
        parse_size("1920")
