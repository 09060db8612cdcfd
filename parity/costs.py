"""Time and memory of both, in turn: start-up, and the conversion of this model."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from parity.conversion import NAME, SIDES, TOOL, collection, export
from parity.environment import Tools
from parity.findings import Finding

ROUNDS = 5
CONVERSIONS = 3
HALF, NO_MORE = 0.5, 1.0  # of the incumbent's: promised of a conversion, and of start-up
MEASURE = Path(__file__).with_name("measure.py")
START_UPS = (
    ("omz_downloader", "--help"),
    ("omz_converter", "--help"),
    ("omz_info_dumper", "--print_all"),
    ("omz_downloader", "--print_all"),
)
Costs = dict[str, list[list[float]]]


def check(tools: Tools, folder: Path) -> Iterator[Finding]:
    """Medians: half of the incumbent's for a conversion, no more than its own for start-up."""
    for tool, flag in START_UPS:
        costs: Costs = {side: [] for side in SIDES}
        for _ in range(ROUNDS):
            for side in SIDES:
                models = tools.collection if side == "ours" and flag != "--help" else None
                costs[side].append(_cost(tools, side, models, tool, flag))
        yield _ratio("cost.start-up", f"{tool} {flag}", costs, 0, "s", NO_MORE)
    onnx = export(tools, folder / "export")
    models, downloads = collection(tools, folder, onnx)
    costs = {side: [] for side in SIDES}
    for number in range(CONVERSIONS):
        for side in SIDES:
            output = folder / side / str(number)
            words = ("--name", NAME, "-d", downloads, "-o", output)
            costs[side].append(_cost(tools, side, models, TOOL, *words))
    yield _ratio("cost.time", "FP16 and FP32 of this model: time", costs, 0, "s", HALF)
    yield _ratio("cost.memory", "FP16 and FP32 of this model: memory", costs, 1, "MiB", HALF)


def _cost(
    tools: Tools, side: str, models: Path | None, tool: str, *arguments: object
) -> list[float]:
    command = getattr(tools, f"command_of_{side}")(models, tool, *arguments)
    ran = tools.run([sys.executable, str(MEASURE), *command], theirs=side == "theirs")
    seconds, mib, code = json.loads(ran.out)
    if code:
        raise RuntimeError(f"{' '.join(command)} ended with {code}")
    return [seconds, mib]


def _ratio(key: str, what: str, costs: Costs, index: int, unit: str, limit: float) -> Finding:
    theirs, ours = (statistics.median(row[index] for row in costs[side]) for side in SIDES)
    ratio = ours / theirs
    digits = 2 if unit == "s" else 0
    here = f"{ours:.{digits}f} {unit}, {ratio:.2f} x (at most {limit})"
    return Finding(key, what, f"{theirs:.{digits}f} {unit}", here, same=ratio <= limit)
