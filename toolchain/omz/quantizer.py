"""The command `omz_quantizer`: converted models to 8-bit integers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from toolchain.catalog.records import Model
from toolchain.cli.console import make_listener
from toolchain.definitions.variants import QUANTIZED_FROM
from toolchain.errors import ToolchainError
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
from toolchain.stages.quantize.request import DEVICES

PRECISIONS = tuple(QUANTIZED_FROM)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `run_command`."""
    return run_command(create_parser, argv, _run)


def create_parser() -> Parser:
    """Create the parser of the command."""
    parser = Parser(
        "omz_quantizer",
        "Quantize converted models to 8-bit integers.",
        "quantize",
        (
            "--name background-matting-mobilenetv2 --model_dir models --precisions FP16-INT8",
            "--all --model_dir models --dataset_dir captures --dry_run",
        ),
    )
    parser.add_folder(
        "--model_dir", default=Path(), help="root of the tree of converted models (.)"
    )
    parser.add_folder(
        "--dataset_dir", help="frames and clean plates for the calibration (generated ones)"
    )
    parser.add_folder("-o", "--output_dir", help="root of the tree of results (the models' own)")
    parser.add_argument(
        "--precisions", metavar="PREC[,PREC...]", help=f"of {', '.join(PRECISIONS)} (all)"
    )
    parser.add_argument(
        "--target_device",
        default="ANY",
        metavar="DEVICE",
        help=f"device to quantize for: {', '.join(DEVICES)} (ANY)",
    )
    parser.add_dry_run()
    parser.add_unused("-p", "--python")
    parser.add_unused("--pot")
    return parser


def _run(models: Sequence[Entry], options: argparse.Namespace) -> int:
    precisions = parse_precisions(options.precisions, PRECISIONS)
    if options.target_device.upper() not in DEVICES:
        raise ToolchainError(
            f"Unknown target device specified: {options.target_device}.",
            hint=f"Known: {', '.join(DEVICES)}.",
        )
    write, listener = line_writer(sys.stdout), make_listener()
    if options.pot is not None or options.python is not None:
        listener.note("--pot and --python have no effect: NNCF quantizes in this process.")
    return run_on_models(
        models,
        partial(_quantize, options=options, precisions=precisions, write=write, listener=listener),
        write=write,
        note=listener.note,
    )


def _quantize(
    model: Model,
    options: argparse.Namespace,
    precisions: Sequence[str],
    write: Write,
    listener: Listener,
) -> None:
    from toolchain.omz.quantize_model import (
        QuantizeModelRequest,
        has_quantization_to_do,
        is_quantizable,
        quantize_model,
    )

    if not is_quantizable(model):
        write(f"========== Skipping {model.name} (quantization not supported)\n")
        return
    for precision in precisions:
        request = QuantizeModelRequest(
            model=model,
            models=options.model_dir,
            output=options.output_dir or options.model_dir,
            precision=precision,
            dataset=options.dataset_dir,
            device=options.target_device.upper(),
        )
        step = f"{model.name} from {QUANTIZED_FROM[precision]} to {precision}"
        if options.dry_run:
            file = format_planned(has_quantization_to_do(request), request.target)
            write(f"========== (DRY RUN) Quantizing {step}: {file}\n")
        else:
            write(f"========== Quantizing {step}")
            write(f"{format_outcome(quantize_model(request, listener))}\n")


if __name__ == "__main__":
    sys.exit(main())
