"""The accuracy table: own figures and published ones are kept apart."""

from __future__ import annotations

from tests.support.records import reported_run
from toolchain.catalog.builtin import read_published_accuracy
from toolchain.report.record_tables import accuracy_table
from toolchain.report.table import number_cell


def test_the_published_figures_are_in_columns_of_their_own() -> None:
    """They are the last two columns, under their own heading; a note names their data set."""
    validation = {"original": {"metrics": {"alpha_mad": 8.125}}, "runs": [reported_run()]}
    table = accuracy_table(validation, None, read_published_accuracy())
    assert table.groups[-1] == ("published, on another data set", 2)
    assert [cell.text for cell in table.rows[0]] == [
        "alpha MAD, \u00d71000",
        "8.125",
        "8.250",
        "4.32",
        "4.35",
    ]
    assert [row[-2].text for row in table.rows] == ["4.32", "1.0", "2.48", "2.7"]
    assert any("HumanMatting" in note and "not public" in note for note in table.notes)


def test_without_ground_truth_only_published_figures_are_shown() -> None:
    """With captures only, the cells of the models are dashes."""
    table = accuracy_table(
        {"original": {"metrics": None}, "runs": [reported_run(metrics=None)]},
        None,
        read_published_accuracy(),
    )
    assert [cell.text for cell in table.rows[0][1:3]] == ["\u2013", "\u2013"]
    assert number_cell(None).text == "\u2013"
