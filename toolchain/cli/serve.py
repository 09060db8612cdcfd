"""The command `serve`: a local web page that shows models at work."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from toolchain.cli.options import Commands, add_command, add_device

PORTS = 65_536


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "serve",
        "serve a local web page that runs models on a camera or on files",
        example="matting serve --model build",
        run=_run,
    )
    parser.add_argument(
        "--model",
        type=Path,
        action="append",
        metavar="PATH",
        help="folder of a build or of one of its models, a package, or the .xml of an IR (build; "
        "repeatable)",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (%(default)s: this machine only); any other one is open to "
        "everyone who can reach it",
    )
    parser.add_argument(
        "--port",
        type=_parse_port,
        default=8765,
        metavar="N",
        help="port to listen on, 0 for any free one (%(default)s)",
    )
    add_device(parser)


def _parse_port(text: str) -> int:
    if text.isdecimal() and int(text) < PORTS:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a port, 0 to {PORTS - 1} (got {text!r})")


def _run(options: argparse.Namespace) -> int:
    from toolchain.serve.request import ServeRequest, is_local
    from toolchain.serve.server import serve  # imports starlette and OpenVINO

    def announce(address: str) -> None:
        print(address, flush=True)
        print("Open it in a browser; Ctrl-C stops.  Nothing is stored.", file=sys.stderr)
        if not is_local(options.host):
            print(
                f"{options.host} is OPEN: everyone who can reach this machine can use the page, "
                "without a password and unencrypted. Browsers allow cameras only on localhost and "
                "https.",
                file=sys.stderr,
            )

    models = tuple(options.model or [Path("build")])
    serve(ServeRequest(models, options.host, options.port, options.device), announce)
    return 0
