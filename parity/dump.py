"""omz_info_dumper on Open Model Zoo's own collection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from parity.environment import Completed, Tools
from parity.findings import Finding, compare

TOOL = "omz_info_dumper"
CHOICES = (
    ("--name", "resnet*,*-0001"),
    ("--name", "*-decoder,wavernn*,background-matting-mobilenetv2"),
)


def check(tools: Tools, folder: Path) -> Iterator[Finding]:
    """Compare the entries, the bytes of the whole output, and choices by pattern and by list."""
    root = tools.collection
    runs = _run_both(tools, root, "--all")
    omz, ours = ({entry["name"]: entry for entry in json.loads(run.out or "[]")} for run in runs)
    for name in omz.keys() | ours.keys():
        pair = [json.dumps(entries.get(name)) for entries in (omz, ours)]
        if pair[0] != pair[1]:
            yield compare("dump", f"info of {name}", *pair)
    counts = [sum(len(e["model_stages"]) or 1 for e in found.values()) for found in (omz, ours)]
    yield compare("dump", "model.yml files read", *counts)
    yield Finding("dump", "info of all models, as bytes", "", "", runs[0].out == runs[1].out)
    printed = [run.out for run in _run_both(tools, root, "--print_all")]
    lines = [f"{text.count(chr(10))} names" for text in printed]
    yield Finding("dump", "--print_all", *lines, printed[0] == printed[1])
    listing = folder / "models.lst"
    listing.write_text("# a list\n'resnet*'  ignored\nface-detection-*\n", encoding="utf-8")
    for choice in (*CHOICES, ("--list", str(listing))):
        found = [run.out for run in _run_both(tools, root, *choice)]
        sizes = [str(len(json.loads(text or "[]"))) for text in found]
        yield Finding("dump", f"{choice[0]} {Path(choice[1]).name}", *sizes, found[0] == found[1])


def _run_both(tools: Tools, root: Path, *arguments: str) -> tuple[Completed, Completed]:
    return tools.omz(None, TOOL, *arguments), tools.ours(root, TOOL, *arguments)
