"""Every flag, alias and shortened form, and every exit code that needs no file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

from parity.environment import CONCURRENT_RUNS, Completed, Tools, get_module
from parity.findings import Finding, compare
from parity.launcher import describe_flags
from tests.support.omz_models import write_model
from toolchain.omz.command import Parser

TOOLS = ("omz_downloader", "omz_converter", "omz_info_dumper")
COMMON = (
    (),
    ("--print_all",),
    ("--print_all", "--all"),
    ("--all", "--name", "one"),
    ("--name", "absent"),
    ("--name", "one,absent"),
    ("--name", "ONE"),
    ("--list", "no-such-file"),
    ("--all", "--no_such_flag"),
    ("--name",),
)
OWN = {
    "omz_downloader": (
        ("--name", "one", "--precisions", "FP33"),
        ("--name", "one", "--precisions", "INT8"),
        ("--name", "one", "--num_attempts", "0"),
        ("--name", "one", "-j", "auto"),
        ("--name", "one", "--progress_format", "xml"),
        ("--name", "one", "--precisions", "FP16-INT8"),
    ),
    "omz_converter": (
        ("--name", "one", "--precisions", "FP33"),
        ("--name", "one", "-j", "none"),
        ("--name", "one"),
        ("--name", "one", "--dry_run"),
        ("--name", "tensorflow"),
        ("--name", "tensorflow", "--precisions", "FP16-INT8"),
    ),
    "omz_info_dumper": (("--all",), ("--name", "one")),
}


def check(tools: Tools, folder: Path) -> Iterator[Finding]:
    """Compare the flags, then the exit codes."""
    yield from _compare_flags(tools)
    root = folder / "models"
    files = {f"FP32/one.{suffix}": b"1" for suffix in ("xml", "bin")}
    write_model(root, "public/one", files)
    keys = {"framework": "tf", "model_optimizer_args": ["--silent"]}
    write_model(root, "public/tensorflow", {"graph.pb": b"1"}, **keys)
    for tool in TOOLS:
        yield from _compare_exit_codes(tools, root, tool)


def _compare_exit_codes(tools: Tools, root: Path, tool: str) -> Iterator[Finding]:
    """One finding if all codes are the same; else one for each difference."""
    cases = (*COMMON, *OWN[tool])

    def run_both(arguments: tuple[str, ...]) -> tuple[Completed, Completed]:
        return tools.omz(root, tool, *arguments), tools.ours(root, tool, *arguments)

    with ThreadPoolExecutor(CONCURRENT_RUNS) as pool:
        runs = list(pool.map(run_both, cases))
    for arguments, (omz, ours) in zip(cases, runs, strict=True):
        line = f"{tool} {' '.join(arguments)}".strip()
        if omz.code != ours.code:
            yield compare("exit", f"exit code of {line}", omz.code, ours.code)
        if "Traceback" in ours.err:
            yield compare("exit", line, "", "a traceback")
        elif "Traceback" in omz.err:
            yield compare("traceback", line, "a traceback", "a message")
    codes = Counter(omz.code for omz, _ in runs)
    summary = ", ".join(f"{count} x {code}" for code, count in sorted(codes.items()))
    yield compare("exit", f"exit codes of {len(cases)} calls of {tool}", summary, summary)


def _compare_flags(tools: Tools) -> Iterator[Finding]:
    omz = json.loads(tools.omz(None, "flags", *TOOLS).out)
    for tool in TOOLS:
        parser = import_module(get_module(tool)).create_parser()
        ours = describe_flags(parser)
        flags = omz[tool]
        for flag in {"-p", "--python"} & flags.keys():  # the default is the Python that runs
            flags[flag]["default"] = ours[flag]["default"]
        wrong = [flag for flag, facts in flags.items() if ours.get(flag) != facts]
        detail = "; ".join(f"{flag} {flags[flag]} {ours.get(flag)}" for flag in wrong)
        yield Finding("flags", f"flags of {tool}", str(len(flags)), detail or "the same", not wrong)
        yield _compare_shortened_flags(tool, list(flags), parser)


def _compare_shortened_flags(tool: str, flags: list[str], parser: Parser) -> Finding:
    """Expand every prefix that argparse accepts for one flag of Open Model Zoo."""
    long = [flag for flag in flags if flag.startswith("--")]
    short = {
        flag[:length]: flag
        for flag in long
        for length in range(3, len(flag))
        if [other for other in long if other.startswith(flag[:length])] == [flag]
    }
    wrong = [text for text, flag in short.items() if parser.expand([text]) != [flag]]
    detail = ", ".join(wrong) or "the same"
    return Finding("flags", f"shortened flags of {tool}", str(len(short)), detail, not wrong)
