"""`matting`: every stage as a subcommand, and `build`, which runs them in order."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from toolchain import __version__
from toolchain.cli import evaluate, package, quantize, serve
from toolchain.cli import run as run_command
from toolchain.cli.build import build as run_stages
from toolchain.cli.exits import run
from toolchain.cli.layers import add_arguments as add_layers
from toolchain.cli.numbers import positive
from toolchain.cli.report import add_report
from toolchain.cli.request import request_of

EXAMPLES = """\
examples:
  matting build --weights bundled                 checkpoint to verified IR, without a network
  matting build --weights my.pth --name my-matte  your own checkpoint of this network
  matting build --dry-run                         say what would be done, touch nothing
  matting evaluate --weights bundled --frames 8   metrics of what was built, on known truth
  matting run --src clip.mp4 --bgr plate.png -o out.mp4  see it work
  matting info --json                             the model's facts for a script
"""
OTHERS: dict[str, Callable[[argparse.Namespace], int]] = {  # commands that are no stage of a build
    "evaluate": lambda options: evaluate.run(options, request_of(options)),
    "package": lambda options: package.run(options, request_of(options)),
    "verify": package.run_bundle,
    "unpack": package.run_bundle,
    "run": run_command.run,
    "serve": serve.run,
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
    if options.command in OTHERS:
        return OTHERS[options.command](options)
    return run_stages(options)


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
    evaluation = command("evaluate", evaluate.TEXT, evaluate.EXAMPLE)
    report = command(
        "report",
        "show the verdict, figures and pictures of a build in one HTML file",
        "matting report --weights bundled --inputs captures",
    )
    run_command.add_parser(commands)
    serve.add_parser(commands)
    packaging = command("package", package.TEXT, package.EXAMPLE)
    package.add_bundle_commands(command)
    info = command("info", "show the model's facts: inputs, parameters, FLOPs", "matting info")
    _add_config(info)
    for added in (build, download, export, convert, quantization, validate, evaluation, report):
        _add_common(added)
    _add_common(packaging)
    package.add_options(packaging)
    for added in (build, download):
        _add_download(added)
    for added in (build, export, convert, validate, evaluation):
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
    evaluate.add_options(evaluation)
    add_report(report)
    add_layers(validate)
    for added in (build, quantization):
        quantize.add_options(added)
    download.add_argument(
        "--cross-check",
        action="store_true",
        help="prove the checkpoint by the published ONNX, fetched if it is not there",
    )
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="PATH", help="another model.yml")


def _add_common(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
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
        type=positive,
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
        "--refine-sample-pixels", type=positive, metavar="N", help="for sampling (80000)"
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
        "--frames", type=positive, default=6, metavar="N", help="generated frames (6)"
    )
    parser.add_argument(
        "--devices", metavar="D[,D]", default="CPU", help="where IRs are run: CPU (default), GPU"
    )


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"expected WxH, such as 1920x1080, got {text!r}"
        ) from error
    return width, height


if __name__ == "__main__":
    sys.exit(main())
