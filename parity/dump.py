"""The collection that the incumbent ships: what both tools know of its models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from parity.environment import Tools
from parity.findings import Finding, compared

CHOICES = (
    ("--name", "resnet*,*-0001"),
    ("--name", "*-decoder,wavernn*,background-matting-mobilenetv2"),
)


def check(tools: Tools, folder: Path) -> Iterator[Finding]:
    """Entry by entry, then as bytes; choices by pattern and by list."""
    root = tools.collection
    theirs = tools.theirs(None, "omz_info_dumper", "--all")
    ours = tools.ours(root, "omz_info_dumper", "--all")
    by_name = [
        {entry["name"]: entry for entry in json.loads(ran.out or "[]")} for ran in (theirs, ours)
    ]
    for name in by_name[0].keys() | by_name[1].keys():
        pair = [json.dumps(entries.get(name)) for entries in by_name]
        if pair[0] != pair[1]:
            yield compared("dump", f"info of {name}", *pair)
    counts = [sum(len(e["model_stages"]) or 1 for e in entries.values()) for entries in by_name]
    yield compared("dump", "model.yml files read", *counts)
    same = theirs.out == ours.out
    yield Finding("dump", "info of all of them, as bytes", "", "", same)
    printed = [run.out for run in _both(tools, root, "--print_all")]
    lines = [f"{text.count(chr(10))} names" for text in printed]
    yield Finding("dump", "--print_all", *lines, printed[0] == printed[1])
    listing = folder / "models.lst"
    listing.write_text("# a list\n'resnet*'  ignored\nface-detection-*\n", encoding="utf-8")
    for choice in (*CHOICES, ("--list", str(listing))):
        found = [run.out for run in _both(tools, root, *choice)]
        counts = [len(json.loads(text or "[]")) for text in found]
        what = f"{choice[0]} {Path(choice[1]).name}"
        yield Finding("dump", what, *map(str, counts), found[0] == found[1])


def _both(tools: Tools, root: Path, *arguments: str) -> tuple:  # type: ignore[type-arg]
    return (
        tools.theirs(None, "omz_info_dumper", *arguments),
        tools.ours(root, "omz_info_dumper", *arguments),
    )
