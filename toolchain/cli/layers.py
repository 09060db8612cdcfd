"""`matting validate --layers`: where in the graph the converted model leaves the original."""

from __future__ import annotations

import argparse
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags, on the parser of `validate`."""
    parser.add_argument(
        "--layers",
        nargs="?",
        const="all",
        choices=("all", "bisect"),
        help="also compare inner tensors and name the first over its limit; "
        "bisect reads a few, one at a time",
    )


def table(layers: Mapping[str, Any]) -> list[str]:
    """One row a form, then one sentence for each that diverges."""
    lines = [_row([name for name, _ in HEAD])]
    for form in layers["variants"]:
        rows = [row for row in form["tensors"] if not row["chosen"]]
        far = max(rows, key=lambda row: _order(row["relative"]), default=None)
        lines.append(
            _row(
                [
                    form["form"],
                    form["hint"],
                    form["executed"],
                    str(len(form["tensors"])),
                    "-" if form["limit"] is None else f"{form['limit']:.1e}",
                    "-" if far is None else _shown(far["relative"]),
                    "-" if far is None else far["node"],
                    form["verdict"],
                ]
            )
        )
    lines.append(
        "largest: difference from the original's tensor relative to its largest value, "
        "of those that depend on no choice of patches."
    )
    return [*lines, *sentences(layers)]


def sentences(layers: Mapping[str, Any]) -> list[str]:
    """The first diverging tensor of each form that has one."""
    return [form["first"]["sentence"] + "." for form in layers["variants"] if form["first"]]


def require_pass(layers: Mapping[str, Any]) -> None:
    """Raise ValidationError if an inner tensor is over its limit though the outputs are not."""
    if layers["verdict"] != "pass":
        raise ValidationError(
            "inner tensors differ from the original's by more than layers_max_rel:\n  "
            + "\n  ".join(sentences(layers)),
            kept="layers.json has every figure; no model was changed.",
            hint="The outputs keep their limits: look at that operator before they no longer do.",
        )


def _order(value: float | None) -> float:
    return float("inf") if value is None else value


def _shown(value: float | None) -> str:
    return "no value" if value is None else f"{value:.1e}"


def _row(cells: list[str]) -> str:
    pairs = zip(cells, HEAD, strict=True)
    return " ".join(f"{cell:>{width}}" for cell, (_, width) in pairs).rstrip()
