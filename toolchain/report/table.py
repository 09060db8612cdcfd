"""A table, for HTML and Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CellStyle = Literal["", "pass", "fail", "quiet"]


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: Text of the cell.
        style: How the text is shown.
        share: Share of a limit, drawn as a bar in HTML; over 1 exceeds the limit.
    """

    text: str
    style: CellStyle = ""
    share: float | None = None


@dataclass(frozen=True)
class Table:
    """A table; the first cell of a row is its name.

    Attributes:
        title: Title of the table.
        head: Names of the columns.
        rows: Cells of each row.
        notes: Notes below the table.
        groups: Name, "" for none, and number of columns of each group of columns.
        text_columns: Number of columns, from the first, that contain text instead of figures.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    groups: tuple[tuple[str, int], ...] = ()
    text_columns: int = 1

    @property
    def spanned(self) -> list[tuple[int, tuple[Cell, ...]]]:
        """Rows, each with the number of rows that its first cell spans; 0 if it is spanned."""
        names = [row[0].text for row in self.rows]
        spans = []
        for index, name in enumerate(names):
            first = index == 0 or names[index - 1] != name
            rest = (other for other in range(index, len(names)) if names[other] != name)
            spans.append((next(rest, len(names)) - index if first else 0, self.rows[index]))
        return spans


EMPTY_CELL = Cell("\u2013", "quiet")


def number_cell(value: float | None, form: str = ".1e") -> Cell:
    """Format a number as a cell; None becomes a dash."""
    return EMPTY_CELL if value is None else Cell(format(value, form))
