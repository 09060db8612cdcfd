"""The command `unpack`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain.cli.console import make_listener, print_json
from toolchain.cli.options import Commands, add_command, add_package, require_key
from toolchain.definitions.variants import PREFERRED

if TYPE_CHECKING:
    from toolchain.package.layouts import Layout

LAYOUTS: tuple[Layout, ...] = ("plain", "ovms", "huggingface", "omz")


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "unpack",
        "verify a package and unpack it in the layout of a server or tool",
        example="matting unpack dist/background-matting-mobilenetv2-bundled-0.1.0.tar.gz "
        "--layout ovms -o models",
        run=_run,
    )
    add_package(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder to unpack to; new or empty",
    )
    parser.add_argument(
        "--layout", choices=LAYOUTS, default="plain", help="plain (default): as in the archive"
    )
    parser.add_argument(
        "--precision",
        metavar="P",
        help="the IR that ovms serves, or that huggingface has at the top "
        f"(the first present of {', '.join(PREFERRED)})",
    )
    parser.add_argument(
        "--sign", type=Path, metavar="KEY", help="private key (PEM) to sign the result with"
    )


def _run(options: argparse.Namespace) -> int:
    from toolchain.stages.unpack.request import UnpackRequest
    from toolchain.stages.unpack.unpack import unpack

    require_key(options)
    request = UnpackRequest(
        options.package,
        options.output,
        options.layout,
        options.precision,
        options.verify_key,
        options.signature,
        options.sign,
    )
    result = unpack(request, make_listener(quiet=options.quiet))
    files = [str(result.target / entry.path) for entry in result.manifest.files]
    if options.json:
        signature = None if result.signature is None else str(result.signature)
        print_json({"folder": str(result.target), "files": files, "signature": signature})
    else:
        print(*files, sep="\n")
    return 0
