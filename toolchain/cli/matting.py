"""`matting`: every stage as a subcommand, and `build`, which runs them in order."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain import __version__
from toolchain.cli import evaluate
from toolchain.cli.exits import run
from toolchain.cli.layers import add_arguments as add_layers
from toolchain.cli.numbers import positive
from toolchain.cli.report import add_report

if TYPE_CHECKING:
    from toolchain.catalog.arguments import ExportSettings
    from toolchain.catalog.records import Model
    from toolchain.pipeline.request import BuildRequest, Stage

EXAMPLES = """\
examples:
  matting build --weights bundled                 checkpoint to verified IR, without a network
  matting build --weights my.pth --name my-matte  your own checkpoint of this network
  matting build --dry-run                         say what would be done, touch nothing
  matting evaluate --weights bundled --frames 8   metrics of what was built, on known truth
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
    "build": ("download", "export", "convert", "validate", "report"),
    "download": ("download",),
    "export": ("export",),
    "convert": ("convert",),
    "validate": ("validate",),
    "report": ("report",),
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
    if options.command == "evaluate":
        return evaluate.run(options, _request(options), _print_json)
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
    command("info", "show the model's facts: inputs, parameters, FLOPs", "matting info")
    for added in (build, download, export, convert, validate, evaluation, report):
        _add_common(added)
    for added in (build, download):
        _add_download(added)
    for added in (build, export, convert, validate, evaluation):
        _add_export(added)
    for added in (build, convert, validate):
        added.add_argument(
            "--precisions", metavar="P[,P]", default="FP32,FP16", help="FP32, FP16 (both)"
        )
    for added in (build, validate):
        _add_validate(added)
    evaluate.add_options(evaluation, positive)
    add_report(report)
    add_layers(validate)
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


def _build(options: argparse.Namespace) -> int:
    from toolchain.cli.console import listener
    from toolchain.cli.summary import as_json, as_text, failed, weights_line
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
            print(failed(request, error.verdict, as_json=options.json), flush=True)
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
        print(as_text(result), flush=True)
    if result.layers is not None:
        from toolchain.cli.layers import require_pass

        require_pass(result.layers)
    return 0


def _request(options: argparse.Namespace) -> BuildRequest:
    from toolchain.errors import UsageError
    from toolchain.pipeline.request import PRECISIONS, BuildRequest
    from toolchain.pipeline.weights import choose

    model = _model(options.config)
    weights = choose(model, options.weights, options.output, options.name)
    wanted = getattr(options, "precisions", "FP32,FP16").split(",")
    unknown = [name for name in wanted if name not in PRECISIONS]
    if unknown:
        raise UsageError(f"--precisions: unknown {', '.join(unknown)}", hint="Known: FP32, FP16.")
    how = getattr(options, "layers", None)
    return BuildRequest(
        model=model,
        weights=weights,
        output=options.output,
        settings=_settings(options, model),
        precisions=tuple(name for name in PRECISIONS if name in wanted),
        stages=(*(("layers",) if how else ()), *STAGES.get(options.command, ())),
        layers=how or "all",
        captures=tuple(getattr(options, "inputs", ())),
        composites=getattr(options, "frames", None) or 6,
        devices=tuple(getattr(options, "devices", "CPU").split(",")),
        cache_dir=getattr(options, "cache_dir", None),
        attempts=getattr(options, "num_attempts", 4),
        accept=getattr(options, "accept", None),
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


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    sys.exit(main())
