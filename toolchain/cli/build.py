"""The stages of a `matting` command: run, or with `--dry-run` foreseen."""

from __future__ import annotations

import argparse
import sys

from toolchain.cli.output import print_json
from toolchain.cli.request import request_of


def build(options: argparse.Namespace) -> int:
    """Run what the command stands for; returns the exit code."""
    from toolchain.cli.console import listener
    from toolchain.cli.summary import as_json, as_text, failed, weights_line
    from toolchain.errors import ToolchainError, ValidationError
    from toolchain.pipeline import build as pipeline

    request = request_of(options)
    talk = listener(quiet=options.quiet)
    talk.note(weights_line(request.weights))
    if options.dry_run:
        seen = pipeline.plan_build(request)
        if options.json:
            print_json([vars(item) for item in seen])
        else:
            for item in seen:
                state = "would run" if item.action == "run" else "up to date"
                print(f"{state:10} {item.entry}: {item.detail}")
        return 0
    try:
        result = pipeline.build(request, talk)
    except ToolchainError as error:
        if isinstance(error, ValidationError) and error.verdict is not None:
            print(failed(request, error.verdict, as_json=options.json), flush=True)
        if options.weights == "auto":  # said last as well as first, however it ends
            error.hint = "\n".join(filter(None, (error.hint, weights_line(request.weights))))
        raise
    proven = {}
    if getattr(options, "cross_check", False):
        from toolchain.pipeline.crosscheck import run_cross_check

        proven["cross_check"] = run_cross_check(request, talk)
        print(proven["cross_check"], file=sys.stderr)
    if options.json:
        print_json(as_json(result) | proven)
    else:
        print(as_text(result), flush=True)
    if result.layers is not None:
        from toolchain.cli.layers import require_pass

        require_pass(result.layers)
    return 0
