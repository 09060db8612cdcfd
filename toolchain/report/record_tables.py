"""Tables of accuracy with the published figures, latency, versions and files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolchain.catalog.builtin import Published
from toolchain.definitions.metrics import METRICS
from toolchain.definitions.refinement import summarize_refinement
from toolchain.definitions.variants import HINT_LABELS, ORIGINAL
from toolchain.report.run_tables import format_run_label
from toolchain.report.table import EMPTY_CELL, Cell, Table, number_cell

Json = Mapping[str, Any]


def accuracy_table(validation: Json, evaluation: Json | None, published: Published) -> Table:
    """Build the accuracy table: published metrics of every model, then the published figures.

    The figures are those of `evaluation` if there is one, else those of the validation's frames
    with ground truth.
    """
    if evaluation is None:
        columns = _validated(validation)
        where = "here, on generated frames"
        notes = ["Lower is better; the mean over whole frames, those of the validation."]
    else:
        columns = _evaluated(evaluation)
        data = evaluation["dataset"]
        where = f"here, on {data['name']}: {data['frames']} frames"
        notes = ["Lower is better; in brackets the bootstrap interval of the mean."]
        notes += [f"{name}: {text}" for name, text in (evaluation.get("scales") or {}).items()]
        notes += [evaluation["interval"]] if evaluation.get("interval") else []
    notes.append(
        f"Published: {published.data}. Those figures show the loss by a conversion, not what the "
        "ones measured here should be."
    )
    known = {name for _, cells in columns for name in cells}
    rows = [
        (
            Cell(metric.title),
            *(cells.get(metric.key, EMPTY_CELL) for _, cells in columns),
            _as_published(published.original.get(metric.key)),
            _as_published(published.converted.get(metric.key)),
        )
        for metric in METRICS
        if metric.published or metric.key in known
    ]
    return Table(
        "Accuracy",
        ("Metric", *(label for label, _ in columns), "Original", "Converted"),
        tuple(rows),
        tuple(notes),
        (("", 1), (where, len(columns)), ("published, on another data set", 2)),
    )


def _as_published(value: float | None) -> Cell:
    return EMPTY_CELL if value is None else Cell(str(value))


def _validated(validation: Json) -> list[tuple[str, dict[str, Cell]]]:
    rows = [("Original", validation["original"]["metrics"])]
    rows += [(format_run_label(run), run["metrics"]) for run in validation["runs"]]
    return [
        (label, {name: number_cell(value, ".3f") for name, value in (scores or {}).items()})
        for label, scores in rows
    ]


def _evaluated(evaluation: Json) -> list[tuple[str, dict[str, Cell]]]:
    columns = []
    for model in evaluation["models"]:
        label = "Original" if model["form"] == ORIGINAL else format_run_label(model)
        columns.append((label, {name: _interval(item) for name, item in model["total"].items()}))
    return columns


def _interval(item: Json) -> Cell:
    mean, low, high = (item.get(key) for key in ("mean", "low", "high"))
    if mean is None:
        return EMPTY_CELL
    return Cell(
        f"{mean:.3f}" if low is None or high is None else f"{mean:.3f} ({low:.2f}\u2013{high:.2f})"
    )


def latency_table(record: Json) -> Table:
    """Build the latency table: one row per benchmarked variant."""
    rows = tuple(
        (
            Cell(str(row["model"])),
            Cell(str(row.get("device", ""))),
            Cell(HINT_LABELS.get(row.get("hint", ""), str(row.get("hint", "")))),
            Cell(str(row.get("precision", ""))),
            number_cell(row.get("median_ms"), ".1f"),
            number_cell(row.get("p90_ms"), ".1f"),
            number_cell(row.get("fps"), ".1f"),
        )
        for row in record["rows"]
    )
    head = ("Model", "Device", "Hint", "Precision", "Median, ms", "90 % within, ms", "Frames/s")
    return Table("Latency", head, rows, text_columns=4)


def versions_table(validation: Json) -> Table:
    """Build the table of tools and machine."""
    facts, machine = validation["facts"], validation["machine"]
    pairs = [("toolchain", facts.get("toolchain"))]
    pairs += list(validation["tools"].items())
    pairs += [(f"machine: {name}", value) for name, value in machine.items()]
    rows = tuple((Cell(name), Cell(str(value))) for name, value in pairs if value is not None)
    return Table("Versions", ("Component", "Version"), rows, text_columns=2)


def digests_table(validation: Json) -> Table:
    """Build the table of the validated files."""
    rows = tuple((Cell(name), Cell(digest)) for name, digest in validation["files"].items())
    return Table(
        "Files", ("File", "Digest"), rows, ("In the folder of this report.",), text_columns=2
    )


def describe_settings(validation: Json) -> str:
    """Describe the export settings in one line."""
    found = validation["settings"]
    size = f"{found['width']}\u00d7{found['height']}"
    scale = f"base network at {found['backbone_scale']:g} of that size"
    return f"{size}, {scale}, {summarize_refinement(found)}"
