"""Every flag, alias and shortened form; every exit code that needs no file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

from parity.environment import AT_ONCE, Ran, Tools
from parity.findings import Finding, compared
from parity.launcher import described
from parity.models import Served, write_model

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
    """Flags first, then exit codes."""
    yield from _flags(tools)
    root = folder / "models"
    files = {f"FP32/one.{suffix}": Served(b"1") for suffix in ("xml", "bin")}
    write_model(root, "public/one", files, None)
    graph = {"graph.pb": Served(b"1")}
    write_model(
        root, "public/tensorflow", graph, None, framework="tf", model_optimizer_args=["--silent"]
    )
    for tool in TOOLS:
        yield from _exits(tools, root, tool)


def _exits(tools: Tools, root: Path, tool: str) -> Iterator[Finding]:
    """One line if all codes are the same; differences one by one."""
    cases = (*COMMON, *OWN[tool])
    codes: dict[int, int] = {}

    def both(arguments: tuple[str, ...]) -> tuple[Ran, Ran]:
        return tools.theirs(root, tool, *arguments), tools.ours(root, tool, *arguments)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        runs = list(pool.map(both, cases))
    for arguments, (theirs, ours) in zip(cases, runs, strict=True):
        line = f"{tool} {' '.join(arguments)}".strip()
        if theirs.code != ours.code:
            yield compared("exit", f"exit code of {line}", theirs.code, ours.code)
        codes[theirs.code] = codes.get(theirs.code, 0) + 1
        if "Traceback" in ours.err:
            yield compared("exit", line, "", "a traceback")
        elif "Traceback" in theirs.err:
            yield compared("traceback", line, "a traceback", "a sentence")
    told = ", ".join(f"{count} x {code}" for code, count in sorted(codes.items()))
    yield compared("exit", f"exit codes of {len(cases)} calls of {tool}", told, told)


def _flags(tools: Tools) -> Iterator[Finding]:
    told = tools.theirs(None, "flags", *TOOLS)
    theirs = json.loads(told.out)
    for tool in TOOLS:
        module = import_module(f"toolchain.cli.{tool}")
        parser = module._parser()  # noqa: SLF001 - the parser has no other user
        ours = described(parser)
        flags = theirs[tool]
        for flag, facts in flags.items():
            if flag == "--python":  # whose default is the Python that runs
                facts["default"] = ours[flag]["default"]
                flags["-p"]["default"] = ours[flag]["default"]
        wrong = [flag for flag, facts in flags.items() if ours.get(flag) != facts]
        detail = "; ".join(f"{flag} {flags[flag]} {ours.get(flag)}" for flag in wrong)
        yield Finding("flags", f"flags of {tool}", str(len(flags)), detail or "the same", not wrong)
        yield from _shortened(tool, list(flags), module.FLAGS)


def _shortened(tool: str, flags: list[str], known: tuple[str, ...]) -> Iterator[Finding]:
    """Every beginning of a flag that meant one flag alone, as argparse has it."""
    from toolchain.omz.command import written_out

    long = [flag for flag in flags if flag.startswith("--")]
    short = {
        flag[:length]: flag
        for flag in long
        for length in range(3, len(flag))
        if [other for other in long if other.startswith(flag[:length])] == [flag]
    }
    wrong = [
        text
        for text, flag in short.items()
        if written_out([text], known) != [flag] and flag != "--help"
    ]
    detail = ", ".join(wrong) or "the same"
    yield Finding("flags", f"shortened flags of {tool}", str(len(short)), detail, not wrong)
