"""The command `omz_converter`: downloaded models to OpenVINO IR."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from toolchain.catalog.records import Model
from toolchain.cli.console import make_listener
from toolchain.omz.collection import Entry
from toolchain.omz.command import (
    Parser,
    Write,
    format_outcome,
    format_planned,
    line_writer,
    parse_precisions,
    run_command,
    run_on_models,
)
from toolchain.progress import Listener


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `run_command`."""
    return run_command(create_parser, argv, _run)


def create_parser() -> Parser:
    """Create the parser of the command."""
    parser = Parser(
        "omz_converter",
        "Convert downloaded models to OpenVINO IR.",
        "convert",
        ("--name background-matting-mobilenetv2 -d models --precisions FP16", "--all --dry_run"),
    )
    parser.add_folder(
        "-d", "--download_dir", default=Path(), help="root of the tree of downloaded files (.)"
    )
    parser.add_folder(
        "-o", "--output_dir", help="root of the tree of results (the download folder)"
    )
    parser.add_argument(
        "--precisions", metavar="PREC[,PREC...]", help="make only these (all that a model has)"
    )
    parser.add_unused("-p", "--python")
    parser.add_unused("--mo")
    parser.add_argument(
        "--add_mo_arg",
        dest="extra_mo_args",
        metavar="ARG",
        action="append",
        default=[],
        help="a Model Optimizer argument; it is translated, and has priority over model.yml",
    )
    parser.add_dry_run()
    parser.add_argument(
        "-j",
        "--jobs",
        type=_parse_jobs,
        default=1,
        metavar="N|auto",
        help="number of models to convert at the same time (1)",
    )
    return parser


def _parse_jobs(text: str) -> int:
    if text == "auto":
        return os.cpu_count() or 1
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f'must be a positive integer or "auto" (got {text!r})')


def _run(models: Sequence[Entry], options: argparse.Namespace) -> int:
    precisions = parse_precisions(options.precisions)
    write, listener = line_writer(sys.stdout), make_listener()
    if options.mo is not None or options.python is not None:
        listener.note("--mo and --python have no effect: no Model Optimizer is run.")
    return run_on_models(
        models,
        partial(_convert, options=options, precisions=precisions, write=write, listener=listener),
        write=write,
        note=listener.note,
        jobs=1 if options.dry_run else options.jobs,
    )


def _convert(
    model: Model,
    options: argparse.Namespace,
    precisions: Sequence[str],
    write: Write,
    listener: Listener,
) -> None:
    from toolchain.omz.convert_model import ConvertModelRequest, convert_model, plan_conversion

    if model.framework == "dldt" and model.model_optimizer_args is None:
        write(f"========== Skipping {model.name} (no conversions defined)\n")
        return
    wanted = tuple(precision for precision in precisions if precision in model.precisions)
    if not wanted:
        write(f"========== Skipping {model.name} (all conversions skipped)\n")
        return
    request = ConvertModelRequest(
        model=model,
        downloads=options.download_dir,
        output=options.output_dir or options.download_dir,
        precisions=wanted,
        arguments=tuple(options.extra_mo_args),
    )
    if options.dry_run:
        for planned in plan_conversion(request):
            file = format_planned(planned.runs, planned.target)
            write(f"========== (DRY RUN) {model.name}: {file}")
    else:
        write(f"========== Converting {model.name} to IR ({', '.join(wanted)})")
        for outcome in convert_model(request, listener):
            write(format_outcome(outcome))
    write("")


if __name__ == "__main__":
    sys.exit(main())
