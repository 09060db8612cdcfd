"""Time and memory of both sides: start-up, and the conversion of this model."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from parity.conversion import NAME, TOOL, create_collection, export_onnx
from parity.environment import SIDES, Tools
from parity.findings import Finding

ROUNDS = 5
CONVERSIONS = 3
# Targets, relative to Open Model Zoo.
CONVERSION_RATIO, START_UP_RATIO = 0.5, 1.0
MEASURE = Path(__file__).with_name("measure.py")
START_UPS = (
    ("omz_downloader", "--help"),
    ("omz_converter", "--help"),
    ("omz_info_dumper", "--print_all"),
    ("omz_downloader", "--print_all"),
)
Costs = dict[str, list[list[float]]]


def check(tools: Tools, folder: Path) -> Iterator[Finding]:
    """Compare the medians of several runs; the sides take turns."""
    for tool, flag in START_UPS:
        costs: Costs = {side: [] for side in SIDES}
        for _ in range(ROUNDS):
            for side in SIDES:
                models = tools.collection if side == "ours" and flag != "--help" else None
                costs[side].append(_measure(tools, side, models, tool, flag))
        yield _compare("cost.start-up", f"{tool} {flag}", costs, 0, "s", START_UP_RATIO)
    onnx = export_onnx(tools, folder / "export")
    models, downloads = create_collection(tools, folder, onnx)
    costs = {side: [] for side in SIDES}
    for number in range(CONVERSIONS):
        for side in SIDES:
            output = folder / side / str(number)
            words = ("--name", NAME, "-d", downloads, "-o", output)
            costs[side].append(_measure(tools, side, models, TOOL, *words))
    what = "FP16 and FP32 of this model"
    yield _compare("cost.time", f"{what}: time", costs, 0, "s", CONVERSION_RATIO)
    yield _compare("cost.memory", f"{what}: memory", costs, 1, "MiB", CONVERSION_RATIO)


def _measure(
    tools: Tools, side: str, models: Path | None, tool: str, *arguments: object
) -> list[float]:
    """Seconds and MiB."""
    command = getattr(tools, f"get_{side}_command")(models, tool, *arguments)
    ran = tools.run([sys.executable, str(MEASURE), *command], omz=side == "omz")
    seconds, mib, code = json.loads(ran.out)
    if code:
        raise RuntimeError(f"{' '.join(command)} ended with {code}")
    return [seconds, mib]


def _compare(key: str, what: str, costs: Costs, index: int, unit: str, limit: float) -> Finding:
    omz, ours = (statistics.median(row[index] for row in costs[side]) for side in SIDES)
    ratio = ours / omz
    digits = 2 if unit == "s" else 0
    here = f"{ours:.{digits}f} {unit}, {ratio:.2f} x (at most {limit})"
    return Finding(key, what, f"{omz:.{digits}f} {unit}", here, same=ratio <= limit)
