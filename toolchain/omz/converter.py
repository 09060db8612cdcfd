"""`omz_converter`: the incumbent's command line over this toolchain's export and conversion."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain.catalog.records import CatalogEntry, CompositeModel, Model
from toolchain.cli.exits import run
from toolchain.errors import ToolchainError
from toolchain.omz.command import (
    SELECTION,
    add_selection,
    known_precisions,
    selected,
    written_out,
)

if TYPE_CHECKING:
    from toolchain.progress import Listener

Tell = Callable[[str], None]
FLAGS = (
    *SELECTION,
    "--download_dir",
    "--output_dir",
    "--precisions",
    "--python",
    "--mo",
    "--add_mo_arg",
    "--add-mo-arg",
    "--dry_run",
    "--dry-run",
    "--jobs",
)
EXAMPLES = """\
examples:
  omz_converter --name background-matting-mobilenetv2 -d models --precisions FP16
  omz_converter --all --dry_run
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed, 2 bad arguments."""
    return run(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    parser = _parser()
    options = parser.parse_args(written_out(argv, FLAGS))
    models = selected(options, parser)
    wanted = known_precisions(options.precisions)
    from toolchain.cli.console import listener

    tell, talk = _teller(), listener()
    if options.mo is not None or options.python is not None:
        talk.note("--mo and --python have no effect: no Model Optimizer is run.")
    results = _all(models, options, wanted, tell, talk)
    failed = [model.name for model, done in zip(models, results, strict=True) if not done]
    if failed:
        tell("\n".join(["FAILED:", *failed]))
        return 1
    return 0


def _teller() -> Tell:
    """Writes whole lines to this stdout, from any thread, whatever becomes of sys.stdout."""
    stream = sys.stdout

    def tell(text: str) -> None:
        stream.write(f"{text}\n")
        stream.flush()

    return tell


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="omz_converter",
        description="Convert downloaded models to OpenVINO IR.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_selection(parser, "convert")
    parser.add_argument(
        "-d",
        "--download_dir",
        type=Path,
        metavar="DIR",
        default=Path(),
        help="root of the tree with the downloaded files (.)",
    )
    parser.add_argument(
        "-o",
        "--output_dir",
        type=Path,
        metavar="DIR",
        help="root of the tree for the results (the download folder)",
    )
    parser.add_argument(
        "--precisions", metavar="PREC[,PREC...]", help="make only these (all that a model has)"
    )
    parser.add_argument("-p", "--python", type=Path, metavar="PYTHON", help="accepted, not used")
    parser.add_argument("--mo", type=Path, metavar="MO.PY", help="accepted, not used")
    parser.add_argument(
        "--add_mo_arg",
        "--add-mo-arg",
        dest="extra_mo_args",
        metavar="ARG",
        action="append",
        default=[],
        help="a Model Optimizer argument, translated; it counts before model.yml's",
    )
    parser.add_argument(
        "--dry_run", "--dry-run", action="store_true", help="say what would be done, touch nothing"
    )
    parser.add_argument(
        "-j",
        "--jobs",
        type=_jobs,
        default=1,
        metavar="N|auto",
        help="models to convert at the same time (1)",
    )
    return parser


def _jobs(text: str) -> int:
    if text == "auto":
        return os.cpu_count() or 1
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f'must be a positive integer or "auto" (got {text!r})')


def _all(
    models: Sequence[CatalogEntry],
    options: argparse.Namespace,
    wanted: frozenset[str],
    tell: Tell,
    talk: Listener,
) -> list[bool]:
    def one(entry: CatalogEntry) -> bool:
        stages = entry.stages if isinstance(entry, CompositeModel) else (entry,)
        done = [_one(stage, options, wanted, tell, talk) for stage in stages]
        return all(done)

    if options.jobs == 1 or options.dry_run:
        return [one(entry) for entry in models]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(options.jobs) as pool:
        return list(pool.map(one, models))


def _one(
    model: Model,
    options: argparse.Namespace,
    wanted: frozenset[str],
    tell: Tell,
    talk: Listener,
) -> bool:
    """One model; False, said on stderr, if it failed."""
    from toolchain.omz.convert_model import (
        ConversionRequest,
        convert_downloaded,
        foresee_conversion,
    )

    if model.framework == "dldt" and model.model_optimizer_args is None:
        tell(f"========== Skipping {model.name} (no conversions defined)\n")
        return True
    precisions = tuple(sorted(wanted & model.precisions))
    if not precisions:
        tell(f"========== Skipping {model.name} (all conversions skipped)\n")
        return True
    request = ConversionRequest(
        model=model,
        downloads=options.download_dir,
        output=options.output_dir or options.download_dir,
        precisions=precisions,
        arguments=tuple(options.extra_mo_args),
    )
    try:
        if options.dry_run:
            for seen in foresee_conversion(request):
                state = "would write" if seen.action == "run" else "up to date"
                tell(f"========== (DRY RUN) {model.name}: {state} {seen.target}")
            tell("")
            return True
        tell(f"========== Converting {model.name} to IR ({', '.join(precisions)})")
        for outcome in convert_downloaded(request, talk):
            state = f"{outcome.seconds:.1f} s" if outcome.ran else "up to date"
            tell(f"[ {state} ] {outcome.files[0]}")
        tell("")
    except ToolchainError as error:
        if error.exit_code != 1:
            raise
        talk.note("\n".join(error.lines()))
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
