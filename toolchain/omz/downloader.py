"""`omz_downloader`: the incumbent's command line over this toolchain's download."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain.catalog.records import CatalogEntry, CompositeModel, Model
from toolchain.cli.exits import run
from toolchain.cli.numbers import positive
from toolchain.errors import ToolchainError
from toolchain.omz.download_progress import JsonEvents, Stopped, TextLines
from toolchain.omz.command import (
    SELECTION,
    add_selection,
    known_precisions,
    selected,
    written_out,
)

if TYPE_CHECKING:
    from toolchain.omz.download_model import PublishedRequest

FLAGS = (
    *SELECTION,
    "--precisions",
    "--output_dir",
    "--cache_dir",
    "--num_attempts",
    "--progress_format",
    "--jobs",
)
EXAMPLES = """\
examples:
  omz_downloader --name background-matting-mobilenetv2 -o models
  omz_downloader --all --cache_dir cache --num_attempts 5 --progress_format json
"""
Watch = JsonEvents | TextLines


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed, 2 bad arguments."""
    return run(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    parser = _parser()
    options = parser.parse_args(written_out(argv, FLAGS))
    models = selected(options, parser)
    wanted = known_precisions(options.precisions)
    watch: Watch
    if options.progress_format == "json":
        watch = JsonEvents()
    else:
        watch = TextLines(several=options.jobs > 1)
    done = _all(models, options, wanted, watch)
    failed = [model.name for model, good in zip(models, done, strict=True) if not good]
    if failed:
        for line in ("FAILED:", *failed):
            watch.say(line)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="omz_downloader",
        description="Download the published files of models, verified.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_selection(parser, "download")
    parser.add_argument(
        "--precisions",
        metavar="PREC[,PREC...]",
        help="only models, and files in folders, of these precisions (all)",
    )
    parser.add_argument(
        "-o",
        "--output_dir",
        "--output-dir",
        type=Path,
        metavar="DIR",
        default=Path(),
        help="root of the tree for the files (.)",
    )
    parser.add_argument(
        "--cache_dir", "--cache-dir", type=Path, metavar="DIR", help="a cache of files by content"
    )
    parser.add_argument(
        "--num_attempts",
        "--num-attempts",
        type=positive,
        metavar="N",
        default=1,
        help="attempts per source of a file (1)",
    )
    parser.add_argument(
        "--progress_format",
        "--progress-format",
        choices=("text", "json"),
        default="text",
        help="json: one event a line on stdout (text)",
    )
    parser.add_argument(
        "-j", "--jobs", type=positive, metavar="N", default=1, help="downloads at a time (1)"
    )
    parser.add_argument(
        "--accept",
        metavar="FILE",
        help="accept that the recorded digest of this file, which has no published one, changed",
    )
    return parser


def _all(
    models: Sequence[CatalogEntry],
    options: argparse.Namespace,
    wanted: frozenset[str],
    watch: Watch,
) -> list[bool]:
    """Whether each model succeeded.  One model's files, or several models, run side by side."""
    side_by_side = min(options.jobs, len(models))
    within = options.jobs if side_by_side == 1 else 1

    def one(entry: CatalogEntry) -> bool:
        stages = entry.stages if isinstance(entry, CompositeModel) else (entry,)
        done = [_one(stage, options, wanted, watch, within) for stage in stages]
        return all(done)

    if options.jobs == 1:
        return [one(entry) for entry in models]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(side_by_side, "model") as pool:
        running = [pool.submit(one, entry) for entry in models]
        try:
            return [future.result() for future in running]
        finally:
            watch.stop.set()  # nothing is left to do, unless the person interrupted
            pool.shutdown(wait=True, cancel_futures=True)


def _one(
    model: Model, options: argparse.Namespace, wanted: frozenset[str], watch: Watch, jobs: int
) -> bool:
    """One model; False, said on stderr, if it failed."""
    from toolchain.omz.download_model import fetch_published

    if not wanted & model.precisions:
        names = ", ".join(sorted(wanted))
        watch.say(
            f"========== Skipping {model.name} (model is unsupported in {names} precisions)\n"
        )
        return True
    try:
        fetch_published(_request(model, options, wanted, jobs), watch)
    except ToolchainError as error:
        if error.exit_code != 1:
            raise
        print(*error.lines(), sep="\n", file=sys.stderr, flush=True)
        return False
    except Stopped:
        return False
    return True


def _request(
    model: Model, options: argparse.Namespace, wanted: frozenset[str], jobs: int
) -> PublishedRequest:
    from toolchain.omz.download_model import PublishedRequest

    return PublishedRequest(
        model=model,
        output=options.output_dir,
        left_out=known_precisions(None) - wanted,
        cache_dir=options.cache_dir,
        attempts=options.num_attempts,
        jobs=jobs,
        accept=options.accept,
    )


if __name__ == "__main__":
    sys.exit(main())
