"""The command `verify`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.cli.console import make_listener, print_json
from toolchain.cli.options import Commands, add_command, add_package, require_key
from toolchain.definitions.variants import DEFAULT_DEVICE
from toolchain.errors import PackageFormatError, UsageError
from toolchain.printable import printable

if TYPE_CHECKING:
    from toolchain.stages.verify.request import VerifyResult


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "verify",
        "verify a package: its files, its signature, its sample",
        example="matting verify dist/background-matting-mobilenetv2-bundled-0.1.0.tar.gz --run",
        run=_run,
    )
    add_package(parser)
    parser.add_argument(
        "--run",
        dest="run_sample",
        action="store_true",
        help="run the sample and compare the outputs with the expected ones",
    )
    parser.add_argument(
        "--device", metavar="D", help=f"OpenVINO device for --run ({DEFAULT_DEVICE})"
    )


def _run(options: argparse.Namespace) -> int:
    from toolchain.package.inspection import require_intact
    from toolchain.stages.verify.request import VerifyRequest
    from toolchain.stages.verify.verify import verify

    if options.device and not options.run_sample:
        raise UsageError("--device has no effect without --run")
    require_key(options)
    request = VerifyRequest(
        options.package,
        options.run_sample,
        options.device or DEFAULT_DEVICE,
        options.verify_key,
        options.signature,
    )
    result = verify(request, make_listener(quiet=options.quiet))
    if options.json:
        print_json(_as_json(options.package, result))
    else:
        print(*_as_text(result), sep="\n")
    require_intact(options.package, result.findings)
    if not result.passed:
        raise PackageFormatError(
            f"{options.package}: the outputs for the sample differ from the expected ones",
            kept="The package is unchanged.",
            hint="Compare the device and the version of OpenVINO with those in manifest.json.",
        )
    return 0


def _as_json(package: Path, result: VerifyResult) -> dict[str, Any]:
    found = result.findings
    return {
        "package": str(package),
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
        lines.append("files    match the manifest")
    if result.signed is not None:
        lines.append("signed   by the owner of the key")
    lines += [
        f"sample   {printable(run.precision):9} {run.output}: {run.different:.4%} of the values "
        f"differ by more than 1/255, allowed {run.allowed:.4%}: {_verdict(run.passed)}"
        for run in result.runs
    ]
    return lines


def _verdict(passed: bool) -> str:
    return "pass" if passed else "fail"
