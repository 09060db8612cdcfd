"""`matting package`, `verify` and `unpack`: arguments in, what was found out."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain import __version__
from toolchain.cli.output import print_json

if TYPE_CHECKING:
    from toolchain.pipeline.request import BuildRequest
    from toolchain.stages.verify.request import VerifyResult

TEXT = "make one archive of a validated build, to be handed over"
EXAMPLE = "matting package --weights bundled --version 1.0.0 --sign key.pem"
LAYOUTS = ("plain", "ovms", "huggingface", "omz")
BUNDLE = "the archive that `matting package` made, or a folder that it was unpacked to"
Add = Callable[[str, str, str], argparse.ArgumentParser]


def add_options(parser: argparse.ArgumentParser) -> None:
    """What `package` has beyond the options of every command."""
    parser.add_argument(
        "--to", type=Path, default=Path("dist"), metavar="DIR", help="where the archive goes (dist)"
    )
    parser.add_argument(
        "--version", default=__version__, metavar="V", help=f"of the bundle ({__version__})"
    )
    parser.add_argument(
        "--sign", type=Path, metavar="KEY", help="sign it: a private key (PEM, P-256 or larger)"
    )


def add_bundle_commands(command: Add) -> None:
    """`verify` and `unpack`, which know of no build."""
    verify = command(
        "verify",
        "check a bundle: every file, its signature, its sample",
        "matting verify dist/background-matting-mobilenetv2-bundled-0.1.0.tar.gz --run",
    )
    unpack = command(
        "unpack",
        "lay a bundle out for a server or tool, after verifying it",
        "matting unpack dist/background-matting-mobilenetv2-bundled-0.1.0.tar.gz --layout ovms "
        "-o models",
    )
    for added in (verify, unpack):
        added.add_argument("bundle", type=Path, metavar="BUNDLE", help=BUNDLE)
        added.add_argument(
            "--verify-key", type=Path, metavar="KEY", help="the public key it must be signed for"
        )
        added.add_argument(
            "--signature", type=Path, metavar="FILE", help="its signature, if it lies elsewhere"
        )
        added.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")
    verify.add_argument(
        "--run", action="store_true", help="run its sample and compare with what is expected"
    )
    verify.add_argument("--device", metavar="D", help="where --run runs (CPU)")
    unpack.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="a folder, new or empty"
    )
    unpack.add_argument(
        "--layout", choices=LAYOUTS, default="plain", help="for whom (plain: as in the archive)"
    )
    unpack.add_argument(
        "--precision", metavar="P", help="which IR ovms serves, or huggingface has on top (FP16)"
    )
    unpack.add_argument("--sign", type=Path, metavar="KEY", help="sign what is laid out")


def run(options: argparse.Namespace, request: BuildRequest) -> int:
    """Package, print, return the exit code."""
    from toolchain.cli.console import listener
    from toolchain.cli.summary import weights_line
    from toolchain.pipeline.package import PackagingRequest, package_build

    talk = listener(quiet=options.quiet)
    talk.note(weights_line(request.weights))
    asked = PackagingRequest(request, options.version, options.to, options.sign)
    if options.dry_run:
        _print_plan(options, request)
        return 0
    made = package_build(asked, talk)
    manifest = made.manifest
    if options.json:
        print_json(
            {
                "archive": str(made.archive),
                "sha256": made.sha256,
                "signature": None if made.signature is None else str(made.signature),
                "files": [vars(entry) for entry in manifest.files],
            }
        )
        return 0
    width = max(len(entry.path) for entry in manifest.files)
    for entry in manifest.files:
        print(f"{entry.path:{width}}  {entry.size:>12,}  {entry.role}")
    print(f"\n{made.archive}\nsha256 {made.sha256}")
    if made.signature is not None:
        print(made.signature)
    print(weights_line(request.weights))
    return 0


def run_bundle(options: argparse.Namespace) -> int:
    """Verify or unpack, print, return the exit code."""
    return _verify(options) if options.command == "verify" else _unpack(options)


def _print_plan(options: argparse.Namespace, request: BuildRequest) -> None:
    archive = options.to / f"{request.layout.name}-{options.version}.tar.gz"
    if options.json:
        print_json({"folder": str(request.layout.folder), "archive": str(archive)})
    else:
        print(f"would package {request.layout.folder} as {archive}")


def _verify(options: argparse.Namespace) -> int:
    from toolchain.cli.console import listener
    from toolchain.errors import PackageFormatError, UsageError
    from toolchain.package.inspection import require_intact
    from toolchain.stages.verify.request import VerifyRequest
    from toolchain.stages.verify.verify import verify

    if options.device and not options.run:
        raise UsageError("--device is for --run: nothing else runs the model")
    _require_key_for_signature(options)
    request = VerifyRequest(
        options.bundle,
        options.run,
        options.device or "CPU",
        options.verify_key,
        options.signature,
    )
    result = verify(request, listener(quiet=options.quiet))
    if options.json:
        print_json(_as_json(options.bundle, result))
    else:
        print(*_as_text(result), sep="\n")
    require_intact(options.bundle, result.findings)
    if not result.passed:
        raise PackageFormatError(
            f"{options.bundle}: its sample does not give the expected output here",
            kept="Nothing was written.",
            hint="Compare the versions of OpenVINO here and in manifest.json, and the device.",
        )
    return 0


def _unpack(options: argparse.Namespace) -> int:
    from toolchain.cli.console import listener
    from toolchain.stages.unpack.request import UnpackRequest
    from toolchain.stages.unpack.unpack import unpack

    _require_key_for_signature(options)
    request = UnpackRequest(
        options.bundle,
        options.output,
        options.layout,
        options.precision,
        options.verify_key,
        options.signature,
        options.sign,
    )
    made = unpack(request, listener(quiet=options.quiet))
    files = [str(made.target / entry.path) for entry in made.manifest.files]
    if options.json:
        signature = None if made.signature is None else str(made.signature)
        print_json({"folder": str(made.target), "files": files, "signature": signature})
    else:
        print(*files, sep="\n")
    return 0


def _require_key_for_signature(options: argparse.Namespace) -> None:
    from toolchain.errors import UsageError

    if options.signature and not options.verify_key:
        raise UsageError("--signature says nothing without --verify-key")


def _as_json(bundle: Path, result: VerifyResult) -> dict[str, Any]:
    found = result.findings
    return {
        "bundle": str(bundle),
        "name": found.manifest.name,
        "version": found.manifest.version,
        "verdict": _verdict(result.passed),
        "files": len(found.manifest.files),
        "missing": list(found.missing),
        "extra": list(found.extra),
        "changed": [vars(change) for change in found.changed],
        "signed": result.signed,
        "runs": [{**vars(run), "verdict": _verdict(run.passed)} for run in result.runs],
    }


def _as_text(result: VerifyResult) -> list[str]:
    found = result.findings
    lines = [
        f"{found.manifest.root}: {len(found.manifest.files)} files, {found.manifest.size:,} bytes",
        *(f"missing  {name}" for name in found.missing),
        *(f"extra    {name}" for name in found.extra),
        *(f"changed  {change.name}" for change in found.changed),
    ]
    if found.intact:
        lines.append("files    as the manifest says")
    if result.signed is not None:
        lines.append("signed   by the owner of the key")
    lines += [
        f"sample   {run.precision:9} {run.output}: {run.different:.4%} of the values are off by "
        f"over 1/255, allowed {run.allowed:.4%}: {_verdict(run.passed)}"
        for run in result.runs
    ]
    return lines


def _verdict(passed: bool) -> str:
    return "pass" if passed else "fail"
