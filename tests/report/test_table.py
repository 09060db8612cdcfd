"""Tables: rows of one name share one cell."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from toolchain.report.table import Cell, Table


@given(st.lists(st.sampled_from("abc"), max_size=9))
def test_rows_of_one_name_share_its_cell(names: list[str]) -> None:
    """Each row is in one span, and a span contains one name only."""
    spanned = Table("t", ("n",), tuple((Cell(name),) for name in names)).spanned
    assert sum(span for span, _ in spanned) == len(names)
    place = 0
    for index, (span, (cell,)) in enumerate(spanned):
        if span:
            assert place == index
            assert {names[row] for row in range(index, index + span)} == {cell.text}
            place += span
