"""The command `package`."""

from __future__ import annotations

import argparse
from pathlib import Path

from toolchain import __version__
from toolchain.cli.console import make_listener, print_json
from toolchain.cli.options import Commands, add_build, add_command, read_build, weights_line


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "package",
        "package a validated build as one archive",
        example="matting package --weights bundled --version 1.0.0 --sign key.pem",
        run=_run,
    )
    add_build(parser)
    parser.add_argument(
        "--to", type=Path, default=Path("dist"), metavar="DIR", help="folder of the archive (dist)"
    )
    parser.add_argument(
        "--version",
        default=__version__,
        metavar="V",
        help="version of the package (%(default)s)",
    )
    parser.add_argument(
        "--sign", type=Path, metavar="KEY", help="sign with a private key (PEM, P-256 or larger)"
    )


def _run(options: argparse.Namespace) -> int:
    from toolchain.pipeline.package import PackagingRequest, package_build

    build = read_build(options)
    listener = make_listener(quiet=options.quiet)
    listener.note(weights_line(build.weights))
    if options.dry_run:
        archive = options.to / f"{build.layout.name}-{options.version}.tar.gz"
        if options.json:
            print_json({"folder": str(build.layout.folder), "archive": str(archive)})
        else:
            print(f"would package {build.layout.folder} as {archive}")
        return 0
    request = PackagingRequest(build, options.version, options.to, options.sign)
    result = package_build(request, listener)
    files = result.manifest.files
    if options.json:
        print_json(
            {
                "archive": str(result.archive),
                "sha256": result.sha256,
                "signature": None if result.signature is None else str(result.signature),
                "files": [vars(entry) for entry in files],
            }
        )
        return 0
    width = max(len(entry.path) for entry in files)
    for entry in files:
        print(f"{entry.path:{width}}  {entry.size:>12,}  {entry.role}")
    print(f"\n{result.archive}\nsha256 {result.sha256}")
    if result.signature is not None:
        print(result.signature)
    print(weights_line(build.weights))
    return 0
