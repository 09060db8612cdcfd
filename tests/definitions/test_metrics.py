"""Every metric and every figure of the tables is known wherever one has to be."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SMALL_CONFIG
from tests.support.records import evaluation
from toolchain.catalog.builtin import builtin_config, read_published_accuracy
from toolchain.catalog.reader import read_model
from toolchain.catalog.records import Limit
from toolchain.cli.evaluate import table as cli_table
from toolchain.definitions.metrics import (
    FIGURE_KEYS,
    FIGURES,
    LABELS,
    METRIC_KEYS,
    METRICS,
    PUBLISHED_METRICS,
    Metric,
    change_of,
    increase_of,
)
from toolchain.definitions.variants import CONVERTED_FORMS, Variant, hints_of
from toolchain.metrics.score import FUNCTIONS
from toolchain.report.record_tables import accuracy_table
from toolchain.stages.evaluate.tables import render_csv, render_markdown


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    """An evaluation.json; the value of each metric is its place in the table."""
    return evaluation({"model": "m", "facts": {}})


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.key)
def test_a_metric_is_computed_and_shown_in_every_table(
    metric: Metric, record: dict[str, Any]
) -> None:
    """Report, evaluation.csv, evaluation.md, and what `matting evaluate` prints."""
    assert metric.key in FUNCTIONS
    value = f"{METRIC_KEYS.index(metric.key):.3f}"
    published = read_published_accuracy()
    (row,) = (
        [cell.text for cell in row]
        for row in accuracy_table({"runs": []}, record, published).rows
        if row[0].text == metric.title
    )
    assert row[1].split()[0] == value
    (head, total, *_) = csv.reader(io.StringIO(render_csv(record)))
    for end in ("", "_low", "_high"):
        assert total[head.index(f"{metric.key}{end}")] != ""
    lines = render_markdown(record).splitlines()
    names, values = (
        [cell.strip() for cell in line.split("|")]
        for line in lines
        if line.startswith(("| model ", "| original "))
    )
    assert values[names.index(metric.label)].split()[0] == value
    assert f"- {metric.label}: {metric.definition}" in lines
    lines = cli_table(record)
    assert metric.label in lines[0]
    assert value in lines[1].split()
    assert f"{metric.label}: {metric.definition}." in lines


def test_published_metrics_are_in_the_report_without_an_evaluation() -> None:
    """Those are what the validation measures; the others have no row then."""
    run = {"form": "FP32", "hint": "f32", "executed": "f32"}
    scores = {metric.key: float(place) for place, metric in enumerate(PUBLISHED_METRICS)}
    validation = {"original": {"metrics": scores}, "runs": [{**run, "metrics": scores}]}
    rows = accuracy_table(validation, None, read_published_accuracy()).rows
    assert [row[0].text for row in rows] == [metric.title for metric in PUBLISHED_METRICS]
    assert [row[2].text for row in rows] == [f"{value:.3f}" for value in scores.values()]


def test_published_accuracy_has_only_metrics_of_the_table() -> None:
    """And all those that are marked as published."""
    published = read_published_accuracy()
    for row in (published.original, published.converted):
        assert set(row) == {metric.key for metric in PUBLISHED_METRICS}


def test_keys_labels_and_titles_are_distinct() -> None:
    """So no row or column can be taken for another."""
    for values in (
        METRIC_KEYS,
        [metric.label for metric in METRICS],
        [metric.title for metric in METRICS],
        FIGURE_KEYS,
        list(LABELS.values()),
    ):
        assert len(set(values)) == len(values)


def test_every_figure_has_a_label_and_every_published_metric_its_two_figures() -> None:
    """A metric that is added can be limited at once, and every table can name it."""
    assert set(LABELS) == set(FIGURE_KEYS)
    assert all(LABELS.values())
    for metric in PUBLISHED_METRICS:
        assert {change_of(metric.key), increase_of(metric.key)} <= set(FIGURE_KEYS)


def write_limit(folder: Path, key: str, limit: str) -> Path:
    path = folder / "model.yml"
    rows = f"tolerances:\n  - {{form: ONNX, hint: f32, {key}: {limit}, reason: for tests}}\n"
    path.write_text(SMALL_CONFIG.format(source="file:///weights.pth") + rows)
    return path


@pytest.mark.parametrize("key", FIGURE_KEYS)
def test_a_figure_can_be_limited_in_model_yml(key: str, tmp_path: Path) -> None:
    """By a number, and by an absolute value and a multiple of its base."""
    for written, limit in (
        ("0.25", Limit(0.25)),
        ("{absolute: 0.25, relative: 8}", Limit(0.25, 8)),
        ("{relative: 8}", Limit(0.0, 8)),
    ):
        (tolerance,) = read_model(write_limit(tmp_path, key, written)).tolerances
        assert tolerance.variant == Variant("ONNX")
        assert tolerance.limits.by_figure == {key: limit}


def test_only_figures_with_a_base_have_relative_limits_in_the_built_in_model() -> None:
    """A multiple of nothing would be a limit of zero."""
    bases = {figure.key: figure.base for figure in FIGURES}
    for tolerance in read_model(builtin_config()).tolerances:
        for key, limit in tolerance.limits.by_figure.items():
            assert bases[key] or not limit.relative, (tolerance.variant, key)


def test_the_built_in_model_limits_every_variant_of_every_form() -> None:
    """A variant without limits never passes."""
    limited = [tolerance.variant for tolerance in read_model(builtin_config()).tolerances]
    assert limited == [Variant(form, hint) for form in CONVERTED_FORMS for hint in hints_of(form)]
