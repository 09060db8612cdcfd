"""`python -m parity [CHECK ...]`: all of them unless some are named."""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from parity import arguments as single_arguments
from parity import chain, conversion, costs, downloads, dump, flags
from parity.environment import CantBeMadeError, Tools, incumbent
from parity.findings import Finding, admitted, faults, table

Check = Callable[[Tools, Path], Iterator[Finding]]


def main(arguments: list[str]) -> int:
    """Print the table; 1 for a difference that is not listed, or a row of the list that fails."""
    options = _parser().parse_args(arguments)
    checks: dict[str, Check] = {
        "dump": dump.check,
        "flags": flags.check,
        "downloads": downloads.check,
        "conversion": conversion.check,
        "arguments": single_arguments.check,
        "costs": costs.check,
        "chain": functools.partial(
            chain.check, older=options.omz.with_name(f"{options.omz.name}-chain")
        ),
    }
    if unknown := [name for name in options.checks if name not in checks]:
        print(f"unknown check {', '.join(unknown)}; known: {', '.join(checks)}", file=sys.stderr)
        return 2
    try:
        python = incumbent(options.omz)
    except CantBeMadeError as reason:
        print(f"parity: SKIPPED: the incumbent's environment can't be made: {reason}")
        return 1 if options.required else 0
    listed = admitted()
    findings: list[Finding] = []
    skipped: list[str] = []
    with tempfile.TemporaryDirectory(prefix="parity-") as name:
        home = Path(name, "home")
        home.mkdir()
        tools = Tools(python, home)
        for key in options.checks or checks:
            folder = Path(name, key)
            folder.mkdir()
            began = time.monotonic()
            try:
                found = list(checks[key](tools, folder))
            except CantBeMadeError as reason:
                print(f"\n{key}: SKIPPED: {reason}")
                skipped.append(key)
                continue
            findings += found
            print(f"\n{key} ({time.monotonic() - began:.0f} s)\n{table(found, listed)}", flush=True)
        left = [path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()]
    findings.append(Finding("home", "left in the home folder", "", ", ".join(left), not left))
    wrong = faults(findings, listed, whole=not options.checks)
    print("\n" + "\n".join(wrong or [f"parity: {len(findings)} comparisons, all as listed"]))
    return 1 if wrong or (skipped and options.required) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m parity", description=main.__doc__)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help="these alone (all)")
    parser.add_argument("--omz", type=Path, default=Path(".venv-omz"), help="the incumbent's venv")
    parser.add_argument("--required", action="store_true", help="fail where it can't be made")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
