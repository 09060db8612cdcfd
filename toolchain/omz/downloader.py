"""The command `omz_downloader`: the published files of models, verified."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from toolchain.catalog.records import Model
from toolchain.cli.values import parse_positive
from toolchain.omz.collection import Entry
from toolchain.omz.command import (
    Parser,
    line_writer,
    parse_precisions,
    run_command,
    run_on_models,
)
from toolchain.omz.download_progress import DownloadProgress, JsonProgress, TextProgress


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `run_command`."""
    return run_command(create_parser, argv, _run)


def create_parser() -> Parser:
    """Create the parser of the command."""
    parser = Parser(
        "omz_downloader",
        "Download the published files of models, and verify them.",
        "download",
        (
            "--name background-matting-mobilenetv2 -o models",
            "--all --cache_dir cache --num_attempts 5 --progress_format json",
        ),
    )
    parser.add_argument(
        "--precisions",
        metavar="PREC[,PREC...]",
        help="only models, and files in folders, of these precisions (all)",
    )
    parser.add_folder(
        "-o", "--output_dir", default=Path(), help="root of the tree of downloaded files (.)"
    )
    parser.add_folder("--cache_dir", help="cache of files, addressed by their content")
    parser.add_argument(
        "--num_attempts",
        type=parse_positive,
        metavar="N",
        default=1,
        help="attempts per source of a file (1)",
    )
    parser.add_argument(
        "--progress_format",
        choices=("text", "json"),
        default="text",
        help="json: one event per line on stdout (text)",
    )
    parser.add_argument(
        "-j",
        "--jobs",
        type=parse_positive,
        metavar="N",
        default=1,
        help="number of downloads at the same time (1)",
    )
    parser.add_argument(
        "--accept",
        metavar="FILE",
        help="accept that this file, which has no published digest, differs from the recorded one",
    )
    return parser


def _run(models: Sequence[Entry], options: argparse.Namespace) -> int:
    precisions = parse_precisions(options.precisions)
    progress: DownloadProgress
    if options.progress_format == "json":
        progress = JsonProgress()
    else:
        progress = TextProgress(concurrent=options.jobs > 1)
    return run_on_models(
        models,
        partial(
            _download,
            options=options,
            precisions=precisions,
            progress=progress,
            jobs=options.jobs if len(models) == 1 else 1,
        ),
        write=progress.write,
        note=line_writer(sys.stderr),
        jobs=options.jobs,
        stop=progress.stop,
    )


def _download(
    model: Model,
    options: argparse.Namespace,
    precisions: Sequence[str],
    progress: DownloadProgress,
    jobs: int,
) -> None:
    from toolchain.omz.download_model import DownloadModelRequest, download_model

    if not model.precisions.intersection(precisions):
        reason = f"model is unsupported in {', '.join(precisions)} precisions"
        progress.write(f"========== Skipping {model.name} ({reason})\n")
        return
    request = DownloadModelRequest(
        model=model,
        output=options.output_dir,
        precisions=precisions,
        cache_dir=options.cache_dir,
        attempts=options.num_attempts,
        jobs=jobs,
        accept=options.accept,
    )
    download_model(request, progress)


if __name__ == "__main__":
    sys.exit(main())
