"""`matting`: every stage as a subcommand, and `build`, which runs them in order."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain import __version__
from toolchain.cli import quantize
from toolchain.cli.exits import run

if TYPE_CHECKING:
    from toolchain.catalog.arguments import ExportSettings
    from toolchain.catalog.records import Model
    from toolchain.pipeline.request import BuildRequest, Stage

EXAMPLES = """\
examples:
  matting build --weights bundled                 checkpoint to verified IR, without a network
  matting build --weights my.pth --name my-matte  your own checkpoint of this network
  matting build --dry-run                         say what would be done, touch nothing
  matting info --json                             the model's facts for a script
"""
NETWORK_FLAGS = (
    "input_size",
    "backbone_scale",
    "refine_mode",
    "refine_sample_pixels",
    "refine_threshold",
)
STAGES: dict[str, tuple[Stage, ...]] = {
    "build": ("download", "export", "convert", "quantize", "validate"),
    "download": ("download",),
    "export": ("export",),
    "convert": ("convert",),
    "quantize": ("quantize",),
    "validate": ("validate",),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 1 failed, 2 bad arguments."""
    return run(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command == "info":
        from toolchain.cli.info import show

        return show(options.config, as_json=options.json)
    return _build(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="matting",
        description="From the background-matting-mobilenetv2 checkpoint to a verified OpenVINO IR.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"matting {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, example: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=f"example:\n  {example}\n",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.add_argument("--config", type=Path, metavar="PATH", help="another model.yml")
        added.add_argument("--json", action="store_true", help="the result as JSON on stdout")
        return added

    build = command("build", "run every stage in order", "matting build --weights bundled")
    download = command(
        "download", "fetch and verify the checkpoint", "matting download --weights bundled"
    )
    export = command("export", "make the ONNX of fixed shape", "matting export --weights bundled")
    convert = command(
        "convert", "make the IR of each precision", "matting convert --weights bundled"
    )
    quantization = command("quantize", quantize.TEXT, quantize.EXAMPLE)
    validate = command(
        "validate",
        "compare every form of the model with the original",
        "matting validate --weights bundled --frames 2",
    )
    command("info", "show the model's facts: inputs, parameters, FLOPs", "matting info")
    for added in (build, download, export, convert, quantization, validate):
        _add_common(added)
    for added in (build, download):
        _add_download(added)
    for added in (build, export, convert, validate):
        _add_export(added)
    for added in (build, convert, validate):
        added.add_argument(
            "--precisions",
            metavar="P[,P]",
            default="FP32,FP16",
            help="of FP32, FP16, FP16-INT8 (the first two)",
        )
    for added in (build, convert):
        added.add_argument(
            "--input-format",
            choices=("f32-nchw", "u8-nhwc"),
            default="f32-nchw",
            help="what the IRs take: BGR as planes of floats (default), or as a camera's bytes",
        )
    for added in (build, validate):
        _add_validate(added)
    for added in (build, quantization):
        quantize.add_options(added, _positive)
    download.add_argument(
        "--cross-check",
        action="store_true",
        help="prove the checkpoint by the published ONNX, fetched if it is not there",
    )
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights",
        default="upstream",
        metavar="WHICH",
        help="upstream (default, strictly), bundled, auto, or the path of a checkpoint",
    )
    parser.add_argument(
        "--name", help="name of the results of a checkpoint given by path (default: ...-custom)"
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("build"), metavar="DIR", help="results (build)"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done, touch nothing"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")


def _add_download(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cache_dir", "--cache-dir", type=Path, metavar="DIR", help="file cache")
    parser.add_argument(
        "--num_attempts",
        "--num-attempts",
        type=_positive,
        default=4,
        metavar="N",
        help="tries per source (4)",
    )
    parser.add_argument(
        "--accept", metavar="FILE", help="accept that this checkpoint's recorded digest changed"
    )


def _add_export(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("network", "instead of model.yml's export arguments")
    group.add_argument("--input-size", type=_size, metavar="WxH", help="frame size (1280x720)")
    group.add_argument("--backbone-scale", type=float, metavar="S", help="0 < S <= 1 (0.25)")
    group.add_argument("--refine-mode", choices=("sampling", "thresholding", "full"))
    group.add_argument(
        "--refine-sample-pixels", type=_positive, metavar="N", help="for sampling (80000)"
    )
    group.add_argument("--refine-threshold", type=float, metavar="T", help="for thresholding (0.1)")


def _add_validate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--inputs",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="a folder of real frames and clean plates to validate on as well (repeatable)",
    )
    parser.add_argument(
        "--frames", type=_positive, default=6, metavar="N", help="generated frames (6)"
    )


def _build(options: argparse.Namespace) -> int:
    from toolchain.cli.console import listener
    from toolchain.cli.summary import as_json, as_text, table, weights_line
    from toolchain.errors import ToolchainError, ValidationError
    from toolchain.pipeline.build import build, foresee

    request = _request(options)
    talk = listener(quiet=options.quiet)
    talk.note(weights_line(request.weights))
    if options.dry_run:
        seen = foresee(request)
        if options.json:
            _print_json([vars(item) for item in seen])
        else:
            for item in seen:
                state = "would run" if item.action == "run" else "up to date"
                print(f"{state:10} {item.entry}: {item.detail}")
        return 0
    try:
        result = build(request, talk)
    except ToolchainError as error:
        if isinstance(error, ValidationError) and error.verdict is not None:
            if options.json:
                _print_json(error.verdict)
            else:
                print(*table(error.verdict), "", sep="\n", flush=True)
        if options.weights == "auto":  # said last as well as first, however it ends
            error.hint = "\n".join(filter(None, (error.hint, weights_line(request.weights))))
        raise
    proven = {}
    if getattr(options, "cross_check", False):
        from toolchain.pipeline.crosscheck import cross_checked

        proven["cross_check"] = cross_checked(request, talk)
        print(proven["cross_check"], file=sys.stderr)
    if options.json:
        _print_json(as_json(result) | proven)
    else:
        print(as_text(result))
    return 0


def _request(options: argparse.Namespace) -> BuildRequest:
    from toolchain.errors import UsageError
    from toolchain.pipeline.request import KNOWN, BuildRequest
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
    return BuildRequest(
        model=model,
        weights=weights,
        output=options.output,
        settings=_settings(options, model),
        precisions=tuple(name for name in KNOWN if name in wanted),
        stages=STAGES[options.command],
        captures=tuple(getattr(options, "inputs", ())),
        composites=getattr(options, "frames", 6),
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


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"expected WxH, such as 1920x1080, got {text!r}"
        ) from error
    return width, height


def _positive(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a positive integer (got {text!r})")


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    sys.exit(main())
