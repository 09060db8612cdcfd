"""Markdown: markup in texts is escaped, tables are whole."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from toolchain.report.markdown import escape, render_table
from toolchain.report.table import Cell, Table


@given(st.text())
def test_markup_in_text_is_escaped(text: str) -> None:
    """Any text becomes one line in which every mark is escaped."""
    shown = escape(text)
    assert "\n" not in shown
    assert not re.search(r"(?<!\\)(?:\\\\)*[|<>*_`\[\]]", shown)


@given(st.lists(st.lists(st.text(), min_size=3, max_size=3), max_size=4))
def test_a_markdown_table_has_as_many_cells_as_its_head(texts: list[list[str]]) -> None:
    """The content of a cell never changes the number of columns."""
    rows = tuple(tuple(map(Cell, row)) for row in texts)
    for line in render_table(Table("t", ("a", "b", "c"), rows)):
        bare = re.sub(r"\\.", "", line)
        assert bare.count("|") == 4
