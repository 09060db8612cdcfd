"""The program `matting`: every stage as a command, and `build`, which runs them in order."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from toolchain import __version__
from toolchain.cli import (
    evaluate,
    exits,
    info,
    memory,
    package,
    run,
    serve,
    stages,
    unpack,
    verify,
)

COMMANDS = (stages, evaluate, run, serve, package, verify, unpack, info)  # as the help lists them
EXAMPLES = """\
examples:
  matting build --weights bundled                 checkpoint to verified IR, without network access
  matting build --weights my.pth --name my-matte  your own checkpoint of this network
  matting build --dry-run                         print what would be done, change nothing
  matting evaluate --weights bundled --frames 8   metrics of the built models
  matting run --src clip.mp4 --bgr plate.png -o out.mp4  matte a video
  matting info --json                             facts of the model for a script
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The arguments; by default those of the process.

    Returns:
        The exit code: 0 success, 1 failure, 2 invalid arguments, 130 interrupted.
    """
    return exits.run(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    options = create_parser().parse_args(arguments)
    memory.require(options.command)
    code: int = options.run(options)
    return code


def create_parser() -> argparse.ArgumentParser:
    """Create the parser with all commands."""
    parser = argparse.ArgumentParser(
        prog="matting",
        description="From the background-matting-mobilenetv2 checkpoint to a verified OpenVINO IR.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"matting {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
