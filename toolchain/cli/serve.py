"""`matting serve`: arguments in, the page's address out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

TEXT = "show models at work on a local web page, with a camera or files"
EXAMPLE = "matting serve --model build"
PORTS = 65_536


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command `serve`."""
    parser = commands.add_parser(
        "serve",
        help=TEXT,
        description=TEXT[0].upper() + TEXT[1:] + ".",
        epilog=f"example:\n  {EXAMPLE}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model",
        type=Path,
        action="append",
        metavar="PATH",
        help="a build (build), one of its models, a package, or an IR's .xml (repeatable)",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="where to listen (127.0.0.1: this machine only); any other address is open to all "
        "who can reach it",
    )
    parser.add_argument(
        "--port", type=_port, default=8765, metavar="N", help="8765; 0: any that is free"
    )
    parser.add_argument("--device", default="CPU", metavar="D", help="CPU (default), GPU")


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    from toolchain.serve.request import ServeRequest, is_local
    from toolchain.serve.server import serve

    def ready(address: str) -> None:
        print(address, flush=True)
        print("Open it in a browser; Ctrl-C stops.  Nothing is stored.", file=sys.stderr)
        if not is_local(options.host):
            print(
                f"{options.host} is OPEN: whoever can reach this machine can use the page, without "
                "a password and unencrypted. Browsers give cameras to localhost and https only.",
                file=sys.stderr,
            )

    models = tuple(options.model or [Path("build")])
    serve(ServeRequest(models, options.host, options.port, options.device), ready)
    return 0


def _port(text: str) -> int:
    if text.isdecimal() and int(text) < PORTS:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a port, 0 to {PORTS - 1} (got {text!r})")
