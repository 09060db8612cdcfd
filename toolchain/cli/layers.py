"""Table of `matting validate --layers`: where inner tensors differ from the original's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolchain.errors import ValidationError

HEAD = (
    ("model", 8),
    ("hint", 8),
    ("ran in", 7),
    ("compared", 9),
    ("limit", 8),
    ("largest", 8),
    ("at", 34),
    ("verdict", 8),
)


def table(layers: Mapping[str, Any]) -> list[str]:
    """Format layers.json: one row per variant, then one sentence for each that diverges."""
    lines = [_row([name for name, _ in HEAD])]
    for variant in layers["variants"]:
        rows = [row for row in variant["tensors"] if not row["chosen"]]
        largest = max(rows, key=lambda row: _order(row["relative"]), default=None)
        lines.append(
            _row(
                [
                    variant["form"],
                    variant["hint"],
                    variant["executed"],
                    str(len(variant["tensors"])),
                    "-" if variant["limit"] is None else f"{variant['limit']:.1e}",
                    "-" if largest is None else _format(largest["relative"]),
                    "-" if largest is None else largest["node"],
                    variant["verdict"],
                ]
            )
        )
    lines.append(
        "largest: difference from the original's tensor relative to its largest value, "
        "of those that depend on no choice of patches."
    )
    return [*lines, *sentences(layers)]


def sentences(layers: Mapping[str, Any]) -> list[str]:
    """Describe the first diverging tensor of each variant that has one."""
    firsts = (variant["first"] for variant in layers["variants"])
    return [f"{first['sentence']}." for first in firsts if first]


def require_pass(layers: Mapping[str, Any]) -> None:
    """Check that no inner tensor is over its limit.

    Raises:
        ValidationError: One is, although the outputs are within their limits.
    """
    if layers["verdict"] != "pass":
        raise ValidationError(
            "inner tensors differ from the original's by more than layers_max_rel:\n  "
            + "\n  ".join(sentences(layers)),
            kept="layers.json has all figures; no model was changed.",
            hint="The outputs are within their limits. Check that operator before they are not.",
        )


def _order(value: float | None) -> float:
    return float("inf") if value is None else value


def _format(value: float | None) -> str:
    return "no value" if value is None else f"{value:.1e}"


def _row(cells: list[str]) -> str:
    pairs = zip(cells, HEAD, strict=True)
    return " ".join(f"{cell:>{width}}" for cell, (_, width) in pairs).rstrip()
