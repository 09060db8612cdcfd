"""The accuracy that was published, which stands beside what is measured here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parents[1] / "data" / "published.json"


@dataclass(frozen=True)
class Published:
    """`data`: on what it was measured.  Figures by metric, x1000 (GRAD /1000)."""

    data: str
    original: dict[str, float]
    converted: dict[str, float]


def published_accuracy() -> Published:
    """The published table of background-matting-mobilenetv2."""
    found = json.loads(FILE.read_text(encoding="utf-8"))
    return Published(found["data"], found["original"]["figures"], found["converted"]["figures"])


def as_rows(published: Published) -> dict[str, object]:
    """The table for a record: what it is, and its rows by model."""
    return {
        "about": "figures of Open Model Zoo for the published weights, on another data set "
        f"({published.data}); not measured here",
        "rows": {
            "original (PyTorch)": published.original,
            "converted (IR)": published.converted,
        },
    }
