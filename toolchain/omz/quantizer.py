"""`omz_quantizer`: the incumbent's command line over this toolchain's quantisation."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from toolchain.catalog.records import CompositeModel, Model
from toolchain.cli.exits import run
from toolchain.errors import ToolchainError
from toolchain.omz.command import SELECTION, add_selection, selected, written_out
from toolchain.progress import Listener

PRECISIONS = ("FP16-INT8", "FP32-INT8")
DEVICES = ("ANY", "CPU", "GPU", "NPU")
FLAGS = (
    *SELECTION,
    "--model_dir",
    "--dataset_dir",
    "--output_dir",
    "--precisions",
    "--target_device",
    "--dry_run",
    "--python",
    "--pot",
)
EXAMPLES = """\
examples:
  omz_quantizer --name background-matting-mobilenetv2 --model_dir models --precisions FP16-INT8
  omz_quantizer --all --model_dir models --dataset_dir captures --dry_run
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed, 2 bad arguments."""
    return run(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    parser = _parser()
    options = parser.parse_args(written_out(argv, FLAGS))
    models = selected(options, parser)
    precisions = _precisions(options.precisions)
    if options.target_device.upper() not in DEVICES:
        raise ToolchainError(
            f"Unknown target device specified: {options.target_device}.",
            hint=f"Known: {', '.join(DEVICES)}.",
        )
    from toolchain.cli.console import listener

    talk = listener()
    if options.pot is not None or options.python is not None:
        talk.note("--pot and --python have no effect: NNCF quantises in this process.")
    failed = []
    for entry in models:
        stages = entry.stages if isinstance(entry, CompositeModel) else (entry,)
        done = [_one(model, options, precisions, talk) for model in stages]
        failed += [] if all(done) else [entry.name]
    if failed:
        _tell("\n".join(["FAILED:", *failed]))
        return 1
    return 0


def _tell(text: str) -> None:
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="omz_quantizer",
        description="Quantise converted models to 8-bit integers.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_selection(parser, "quantise")
    parser.add_argument(
        "--model_dir",
        "--model-dir",
        type=Path,
        metavar="DIR",
        default=Path(),
        help="root of the tree with the converted models (.)",
    )
    parser.add_argument(
        "--dataset_dir",
        "--dataset-dir",
        type=Path,
        metavar="DIR",
        help="frames and clean plates to calibrate on (generated ones)",
    )
    parser.add_argument(
        "-o",
        "--output_dir",
        "--output-dir",
        type=Path,
        metavar="DIR",
        help="root of the tree for the results (the models' own)",
    )
    parser.add_argument(
        "--precisions", metavar="PREC[,PREC...]", help=f"of {', '.join(PRECISIONS)} (all)"
    )
    parser.add_argument(
        "--target_device",
        "--target-device",
        default="ANY",
        metavar="DEVICE",
        help=f"what to quantise for: {', '.join(DEVICES)} (ANY)",
    )
    parser.add_argument(
        "--dry_run", "--dry-run", action="store_true", help="say what would be done, touch nothing"
    )
    parser.add_argument("-p", "--python", type=Path, metavar="PYTHON", help="accepted, not used")
    parser.add_argument("--pot", type=Path, metavar="POT", help="accepted, not used")
    return parser


def _precisions(text: str | None) -> tuple[str, ...]:
    """Those asked for, in the incumbent's order; an unknown one is an error, as it was."""
    if text is None:
        return PRECISIONS
    asked = set(text.split(","))
    if unknown := sorted(asked - set(PRECISIONS)):
        raise ToolchainError(
            f"Unknown precisions specified: {', '.join(unknown)}.",
            hint=f"Known: {', '.join(PRECISIONS)}.",
        )
    return tuple(precision for precision in PRECISIONS if precision in asked)


def _one(
    model: Model, options: argparse.Namespace, precisions: Sequence[str], talk: Listener
) -> bool:
    """One model; False, said on stderr, if it failed."""
    from toolchain.omz.quantize_model import (
        SOURCES,
        QuantizationRequest,
        foresee_quantization,
        quantizable,
        quantize_converted,
    )

    if not quantizable(model):
        _tell(f"========== Skipping {model.name} (quantization not supported)\n")
        return True
    try:
        for precision in precisions:
            request = QuantizationRequest(
                model=model,
                models=options.model_dir,
                output=options.output_dir or options.model_dir,
                precision=precision,
                dataset=options.dataset_dir,
                device=options.target_device.upper(),
            )
            steps = f"{model.name} from {SOURCES[precision]} to {precision}"
            if options.dry_run:
                state = "would write" if foresee_quantization(request) else "up to date"
                _tell(f"========== (DRY RUN) Quantizing {steps}: {state} {request.target}\n")
                continue
            _tell(f"========== Quantizing {steps}")
            outcome = quantize_converted(request, talk)
            state = f"{outcome.seconds:.1f} s" if outcome.ran else "up to date"
            _tell(f"[ {state} ] {outcome.files[0]}\n")
    except ToolchainError as error:
        if error.exit_code != 1:
            raise
        talk.note("\n".join(error.lines()))
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
