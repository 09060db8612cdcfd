"""evaluation.json as tables: CSV for spreadsheets, Markdown for summaries."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from toolchain.definitions.metrics import METRIC_KEYS, METRICS

CLIPS_SHOWN = 60  # in Markdown; the CSV has all
Json = Mapping[str, Any]


def render_csv(content: Json) -> str:
    """Render one row per model and clip, and one per model for the total, with an empty clip."""
    stream = io.StringIO()
    bounds = [f"{metric}{end}" for metric in METRIC_KEYS for end in ("", "_low", "_high")]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["form", "hint", "executed", "clip", "frames", *bounds])
    for entry in content["models"]:
        who = [entry["form"], entry["hint"], entry["executed"]]
        total = entry["total"]
        figures = [total[metric][end] for metric in METRIC_KEYS for end in ("mean", "low", "high")]
        writer.writerow([*who, "", entry["frames"], *figures])
        for clip, row in entry["clips"].items():
            cells = [cell for metric in METRIC_KEYS for cell in (row[metric], "", "")]
            writer.writerow([*who, clip, row["frames"], *cells])
    return stream.getvalue()


def render_markdown(content: Json) -> str:
    """Render tables of the results with intervals, the published figures, and the clips."""
    dataset = content["dataset"]
    what = f"{dataset['frames']} frames in {dataset['clips']} clips of {dataset['name']}"
    size = "x".join(map(str, dataset["size"]))
    lines = [f"# Evaluation of {content['model']}", ""]
    lines += [f"{what} ({dataset['kind']}), at {size}."]
    if dataset["skipped"]:
        lines += ["", f"**{len(dataset['skipped'])} bad frames were left out:**", ""]
        lines += [f"- `{fault['file']}`: {fault['reason']}" for fault in dataset["skipped"]]
    lines += ["", *_table(["model", "hint", "ran in", *_labels()], _totals(content)), ""]
    if any("against_original" in entry for entry in content["models"]):
        lines += ["Against the original, frame by frame (over 0: worse):", ""]
        lines += [*_table(["model", "hint", *_labels()], _differences(content)), ""]
    lines += [f"- {metric.label}: {metric.definition}" for metric in METRICS]
    lines += [f"- {content['interval']}"]
    if content["published"]:
        lines += [f"- published: {content['published']['about']}"]
    rows = list(_clips(content))
    if dataset["clips"] > 1:
        shown = rows[: CLIPS_SHOWN * len(content["models"])]
        lines += ["", "## By clip", "", *_table(["clip", "frames", "model", *_labels()], shown)]
        if len(rows) > len(shown):
            lines += ["", f"{len(rows) - len(shown)} more rows are in evaluation.csv."]
    return "\n".join(lines) + "\n"


def format_number(value: float) -> str:
    """Format with three decimals; small numbers with three digits and an exponent."""
    return f"{value:.3f}" if abs(value) >= 0.01 or value == 0 else f"{value:.2e}"  # noqa: PLR2004


def _labels() -> list[str]:
    return [metric.label for metric in METRICS]


def _totals(content: Json) -> Iterator[list[str]]:
    for entry in content["models"]:
        cells = (entry["total"][metric] for metric in METRIC_KEYS)
        yield [
            entry["form"],
            entry["hint"],
            entry["executed"],
            *(_format_interval(cell) for cell in cells),
        ]
    published = content["published"] or {"rows": {}}
    for name, row in published["rows"].items():
        figures = [f"{row[metric]:g}" if metric in row else "" for metric in METRIC_KEYS]
        yield [f"*published: {name}*", "", "", *figures]


def _differences(content: Json) -> Iterator[list[str]]:
    for entry in content["models"]:
        if "against_original" in entry:
            cells = (entry["against_original"][metric] for metric in METRIC_KEYS)
            yield [entry["form"], entry["hint"], *(_format_interval(cell) for cell in cells)]


def _clips(content: Json) -> Iterator[list[str]]:
    for clip in content["models"][0]["clips"]:
        for entry in content["models"]:
            row = entry["clips"][clip]
            who = f"{entry['form']} {entry['hint']}"
            yield [
                clip,
                str(row["frames"]),
                who,
                *(format_number(row[metric]) for metric in METRIC_KEYS),
            ]


def _format_interval(cell: Json) -> str:
    mean, low, high = (format_number(cell[key]) for key in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"


def _table(head: list[str], rows: Any) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    cells = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    return [*lines, *("| " + " | ".join(row) + " |" for row in cells)]
