"""The results as a page for docs/."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fidelity.trial import SETTINGS, Outcome
from toolchain.workspace.environment import processor, version

SHORT = 110  # characters of a reason


@dataclass(frozen=True)
class Row:
    """One trial.

    Attributes:
        checkpoint: Name of the checkpoint.
        fault: Name of the fault, "" for the whole build.
        outcome: Its result.
    """

    checkpoint: str
    fault: str
    outcome: Outcome


def count_missed(rows: Sequence[Row], faults: Iterable[str], enough: int) -> list[tuple[str, int]]:
    """List the faults that were caught on fewer than `enough` checkpoints, with that number."""
    caught = {fault: _caught(rows, fault) for fault in faults}
    return [(fault, count) for fault, count in caught.items() if count < enough]


def write_page(
    path: Path, rows: Sequence[Row], faults: Sequence[str], enough: int, seconds: float
) -> None:
    """Write the tables as Markdown."""
    whole = [row for row in rows if not row.fault]
    failed = sum(row.outcome.verdict != "pass" for row in whole)
    hosts = len({row.checkpoint for row in rows if row.fault})
    missed = count_missed(rows, faults, enough)
    size, patches = f"{SETTINGS.width}x{SETTINGS.height}", SETTINGS.sample_pixels // 16
    tools = ", ".join(f"{tool} {version(tool)}" for tool in ("openvino", "torch", "onnxruntime"))
    text = f"""\
# What the validation passes and what it catches

Written by `make fidelity`. Each checkpoint goes through the real export, conversion and validation
at {size} with {patches} patches, under the limits of `model.yml`.

**{len(whole)} legitimate checkpoints, {failed} false failures. {len(faults)} faults, each put into
{hosts} checkpoints, {len(missed)} missed** (caught on fewer than {enough}).

{processor()}, {os.cpu_count()} cores; {tools}.
{seconds / 60:.0f} minutes for the trials of this run.

## Legitimate checkpoints

Own error: of PyTorch at float32 against the network in float64. Ratio: largest error of ONNX and
FP32 at f32 as a multiple of that; up to 8 is allowed.

| checkpoint | own error | ratio | verdict | |
|---|---|---|---|---|"""
    lines = text.splitlines()
    lines += [
        f"| {row.checkpoint} | {row.outcome.own_error:.1e} | {row.outcome.ratio:.2f} | "
        f"{row.outcome.verdict} | {_short(row.outcome.reason)} |"
        for row in whole
    ]
    lines += [
        "",
        "## Faults",
        "",
        f"| fault | caught, of {hosts} | by, on the first checkpoint that caught it |",
        "|---|---|---|",
    ]
    for fault in faults:
        reasons = [
            row.outcome.reason
            for row in rows
            if row.fault == fault and row.outcome.verdict != "pass"
        ]
        first = _short(reasons[0]) if reasons else ""
        lines.append(f"| {fault} | {_caught(rows, fault)} | {first} |")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _caught(rows: Sequence[Row], fault: str) -> int:
    return sum(row.fault == fault and row.outcome.verdict != "pass" for row in rows)


def _short(text: str) -> str:
    name = text.rpartition("/")[2] if text.startswith("/") else text  # no path of this machine
    cut = name if len(name) <= SHORT else f"{name[:SHORT]} ..."
    return cut.replace("|", "\\|")
