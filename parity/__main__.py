"""`python -m parity [CHECK ...]`: run the named checks, or all."""

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
from parity.environment import Tools, UnavailableError, prepare_omz
from parity.findings import Finding, find_faults, format_table, read_listed_keys

Check = Callable[[Tools, Path], Iterator[Finding]]


def main(arguments: list[str]) -> int:
    """Compare the Open Model Zoo tools with ours, and print the differences.

    Args:
        arguments: Command line without the program.

    Returns:
        1 for a difference that is not listed, or a row of the list without a difference; else 0.
    """
    options = _create_parser().parse_args(arguments)
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
        python = prepare_omz(options.omz)
    except UnavailableError as reason:
        print(f"parity: SKIPPED: Open Model Zoo cannot be installed: {reason}")
        return 1 if options.required else 0
    listed = read_listed_keys()
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
            except UnavailableError as reason:
                print(f"\n{key}: SKIPPED: {reason}")
                skipped.append(key)
                continue
            findings += found
            seconds = time.monotonic() - began
            print(f"\n{key} ({seconds:.0f} s)\n{format_table(found, listed)}", flush=True)
        left = [path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()]
    findings.append(Finding("home", "files in the home folder", "", ", ".join(left), not left))
    faults = find_faults(findings, listed, all_checks=not options.checks)
    print("\n" + "\n".join(faults or [f"parity: {len(findings)} comparisons, all as listed"]))
    return 1 if faults or (skipped and options.required) else 0


def _create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m parity",
        description="Compare the Open Model Zoo tools with ours, and print the differences.",
    )
    parser.add_argument("checks", nargs="*", metavar="CHECK", help="run only these (all)")
    parser.add_argument(
        "--omz", type=Path, default=Path(".venv-omz"), help="environment of Open Model Zoo"
    )
    parser.add_argument("--required", action="store_true", help="fail if it cannot be installed")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
