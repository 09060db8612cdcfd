"""Output of every benchmark."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

FOLDER = Path("build", "bench")


@dataclass(frozen=True)
class Figure:
    """One measured value.  `target`: None without a target; `sense`: which side of it is good."""

    name: str
    value: float
    unit: str
    target: float | None = None
    sense: Literal["at most", "at least"] = "at most"

    @property
    def met(self) -> bool:
        """Whether the target, if any, is met."""
        if self.target is None:
            return True
        if self.sense == "at most":
            return self.value <= self.target
        return self.value >= self.target


def conclude(benchmark: str, figures: Sequence[Figure]) -> int:
    """Print the table, write `build/bench/<benchmark>.json`; 1 if a target was missed."""
    print(f"{benchmark} ({os.cpu_count()} cores, {platform.machine()}, {platform.system()})")
    for figure in figures:
        target = "" if figure.target is None else f"{figure.sense} {figure.target:g}"
        verdict = "" if figure.target is None else ("met" if figure.met else "MISSED")
        print(f"  {figure.name:58} {figure.value:9.3f} {figure.unit:4} {target:14} {verdict}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    record = {"benchmark": benchmark, "cores": os.cpu_count(), "figures": [*map(asdict, figures)]}
    (FOLDER / f"{benchmark}.json").write_text(json.dumps(record, indent=2) + "\n")
    return 0 if all(figure.met for figure in figures) else 1
