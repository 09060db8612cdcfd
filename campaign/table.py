"""The results as a page for docs/."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from campaign.kinds import Kind
from campaign.laws import MIB
from toolchain.workspace.environment import processor


@dataclass(frozen=True)
class Record:
    """One finished try.

    Attributes:
        door: Name of its door.
        kind: Name of its kind.
        number: Its number among the tries of the kind.
        faults: What was against a law.
        memory: Peak growth of memory in bytes.
        disk: Peak growth of disk in bytes.
    """

    door: str
    kind: str
    number: int
    faults: tuple[str, ...]
    memory: int
    disk: int


def write_page(
    path: Path,
    kinds: Sequence[Kind],
    records: Sequence[Record],
    minutes: float,
    seed: int,
    again: Sequence[str] = (),
) -> None:
    """Write the table as Markdown; `again`: the kinds that were tried again after a fix."""
    failures = [record for record in records if record.faults]
    fewest = min(sum((r.door, r.kind) == (k.door, k.name) for r in records) for k in kinds)
    memory, disk = (max(getattr(r, name) for r in records) // MIB for name in ("memory", "disk"))
    repeated = ""
    if again:
        repeated = (
            "Kinds that had failures in this run; they were corrected, and all of their tries "
            f"were repeated: {'; '.join(again)}.\n\n"
        )
    text = f"""\
# What was tried to get in

Written by `make campaign`. Each try runs commands of the toolchain in processes of their own, on
files, servers or limits that are wrong at random. Five laws hold for every one: no wrong artefact
under a final name; no traceback, and nothing on the terminal that is not printable; no hang; memory
and disk bounded; no good file lost.

**{len(kinds)} kinds, {len(records):,} tries, {len(failures)} failures**; at least {fewest} tries of
each kind, seed {seed}, {minutes:.0f} minutes. Peaks of a command: {memory} MiB of memory beyond the
imported program, {disk} MiB of disk.

{processor()}, {os.cpu_count()} cores.

{repeated}| door | kind | tries | failures | MiB of memory | MiB of disk |
|---|---|---:|---:|---:|---:|
"""
    for kind in kinds:
        own = [r for r in records if (r.door, r.kind) == (kind.door, kind.name)]
        text += (
            f"| {kind.door} | {kind.name} | {len(own)} | {sum(bool(r.faults) for r in own)} "
            f"| {_peak(r.memory for r in own)} | {_peak(r.disk for r in own)} |\n"
        )
    if failures:
        text += "\n## Failures\n\n"
        for record in failures[:200]:
            reason = "; ".join(record.faults).replace("\n", " ").replace("|", "/")
            text += f"- {record.door}, {record.kind}, try {record.number}: `{reason[:300]}`\n"
    path.write_text(text, encoding="utf-8")


def _peak(values: Iterable[int]) -> int:
    return max(values, default=0) // MIB
