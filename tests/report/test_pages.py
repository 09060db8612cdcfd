"""Pages: text stands for itself, tables are whole, numbers are those of the records."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.catalog.builtin import read_published_accuracy
from toolchain.report import run_tables
from toolchain.report.markdown import escape, render_table
from toolchain.report.record_tables import accuracy_table
from toolchain.report.table import Cell, Table, number_cell
from toolchain.report.text import format_power_of_ten, format_scientific

LIMITS = {"bounds": {"pha_max_abs": 2e-5, "different_patches": 0.001}, "reason": "rounding\n only"}


OWN = {"reference": {"own_error": {"pha": {"max": 1e-6}, "fgr": {"max": 2e-6}}}}


def run(**changes: object) -> dict[str, object]:
    found = {
        "form": "FP32",
        "hint": "f32",
        "executed": "f32",
        "verdict": "pass",
        "failures": [],
        "figures": {"pha_max_abs": 5e-6, "different_patches": 0.0},
        "limits": LIMITS,
        "metrics": {"alpha_mad": 8.25},
    }
    return {**found, **changes}


@given(st.text())
def test_text_is_no_markup(text: str) -> None:
    """Whatever a record holds, its cell is one line without a mark that is not escaped."""
    shown = escape(text)
    assert "\n" not in shown
    assert not re.search(r"(?<!\\)(?:\\\\)*[|<>*_`\[\]]", shown)


@given(st.lists(st.lists(st.text(), min_size=3, max_size=3), max_size=4))
def test_a_markdown_table_has_as_many_cells_as_its_head(texts: list[list[str]]) -> None:
    """No content adds or swallows a column."""
    rows = tuple(tuple(map(Cell, row)) for row in texts)
    for line in render_table(Table("t", ("a", "b", "c"), rows)):
        bare = re.sub(r"\\.", "", line)
        assert bare.count("|") == 4


@given(st.lists(st.sampled_from("abc"), max_size=9))
def test_rows_of_one_name_are_spanned_by_it(names: list[str]) -> None:
    """Spans cover each row once, and none reaches over another name."""
    spanned = Table("t", ("n",), tuple((Cell(name),) for name in names)).spanned
    assert sum(span for span, _ in spanned) == len(names)
    place = 0
    for index, (span, (cell,)) in enumerate(spanned):
        if span:
            assert place == index
            assert {names[row] for row in range(index, index + span)} == {cell.text}
            place += span


@given(st.floats(1e-12, 0.99))
def test_numbers_are_written_as_people_do(value: float) -> None:
    """Two digits and a power of ten, the same number as Python's own form."""
    digits, power = format_scientific(value).split(" \u00d7 10")
    plain = power.translate(
        str.maketrans(
            "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079", "-0123456789"
        )
    )
    assert f"{digits}e{plain}" == re.sub(r"e-0?", "e-", f"{value:.1e}")
    assert (format_power_of_ten(0), format_scientific(0)) == ("1", "0")


def test_a_run_is_named_by_what_it_did() -> None:
    """Form and hint, and what the device computed in where the hint does not say it."""
    assert run_tables.format_run_label(run()) == "FP32 \u00b7 f32"
    default = run(form="FP16", hint="default", executed="bf16")
    assert run_tables.format_run_label(default) == "FP16 \u00b7 device default (bf16)"
    assert run_tables.get_variant(default).id == "fp16-default"
    elsewhere = {**default, "device": "GPU.1"}
    assert run_tables.format_run_label(elsewhere) == "FP16 \u00b7 device default (bf16) on GPU.1"
    assert run_tables.get_variant(elsewhere).id == "fp16-default-gpu.1"


@pytest.mark.parametrize(
    ("found", "limit", "text"),
    [
        (0.0, 2e-5, "0%"),
        (5e-6, 2e-5, "25%"),
        (1e-8, 2e-5, "under 1%"),
        (1e-3, 2e-5, "5000%"),
        (0.5, 2e-5, "2.5e+04 times"),
        (1e-9, 0.0, "beyond"),
        (0.0, 0.0, "0%"),
        (None, 2e-5, "\u2013"),
    ],
)
def test_shares_of_limits(found: float | None, limit: float, text: str) -> None:
    """What part of a limit is used; a figure that was not measured has none."""
    one = run(
        figures={"pha_max_abs": found}, limits={"bounds": {"pha_max_abs": limit}, "reason": "r"}
    )
    (row,) = run_tables.limits_table({"runs": [one]}).rows
    assert row[4].text == text
    assert (row[4].mood == "fail") == (found is not None and found > limit)


def test_the_closest_limit_is_the_one_told() -> None:
    """Of several figures that with the largest share of its limit."""
    share, name = run_tables.find_closest_limit(
        run(figures={"pha_max_abs": 5e-6, "different_patches": 4e-4})
    )
    assert (share, name) == (pytest.approx(0.4), "differently chosen patches")
    assert run_tables.find_closest_limit(run(limits=None)) == (None, "")


@pytest.mark.parametrize(
    ("failed", "said"),
    [(0, "computes what the checkpoint computes on 1 frame."), (1, "1 of 2 variants of")],
)
def test_the_headline_counts(failed: int, said: str) -> None:
    """Passed ways, failed ways, frames."""
    records = [run(verdict="fail") for _ in range(failed)] + [run()] * (2 - failed)
    verdict = "fail" if failed else "pass"
    assert said in run_tables.describe_verdict(
        {"runs": records, "frames": ["one"], "verdict": verdict, **OWN}
    )


def test_the_published_figures_stand_apart_and_are_marked() -> None:
    """Last two columns, under a head of their own, with the data set that they are from."""
    validation = {"original": {"metrics": {"alpha_mad": 8.125}}, "runs": [run()]}
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


def test_without_truth_nothing_is_made_up() -> None:
    """On captures alone there are no figures but the published ones."""
    table = accuracy_table(
        {"original": {"metrics": None}, "runs": [run(metrics=None)]},
        None,
        read_published_accuracy(),
    )
    assert [cell.text for cell in table.rows[0][1:3]] == ["\u2013", "\u2013"]
    assert number_cell(None).text == "\u2013"


def test_an_own_error_that_is_not_finite_is_named_so() -> None:
    """JSON has null for it; the verdict's sentence does not fail on it."""
    own = {"pha": {"max": None, "rms": None}, "fgr": {"max": 1e-6, "rms": 1e-7}}
    record = {"verdict": "undecidable", "frames": ["a"], "runs": []}
    said = run_tables.describe_verdict({**record, "reference": {"own_error": own}})
    assert "is off by inf from" in said
    assert format_scientific(run_tables.get_own_error({"reference": {"own_error": own}})) == (
        "not finite"
    )
