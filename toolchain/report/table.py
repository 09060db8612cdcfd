"""A table that HTML and Markdown show alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CellStyle = Literal["", "pass", "fail", "quiet"]


@dataclass(frozen=True)
class Cell:
    """`share`: of a limit, drawn as a bar where there is room; over 1 is over the limit."""

    text: str
    mood: CellStyle = ""
    share: float | None = None


@dataclass(frozen=True)
class Table:
    """`groups`: names over runs of columns, "" for none; the first cell of a row names it.

    `words`: how many columns, from the first, hold words rather than figures.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    groups: tuple[tuple[str, int], ...] = ()
    words: int = 1

    @property
    def spanned(self) -> list[tuple[int, tuple[Cell, ...]]]:
        """Rows with how many of them, from here on, share the first cell; 0 after the first."""
        names = [row[0].text for row in self.rows]
        spans = []
        for index, name in enumerate(names):
            first = index == 0 or names[index - 1] != name
            rest = (other for other in range(index, len(names)) if names[other] != name)
            spans.append((next(rest, len(names)) - index if first else 0, self.rows[index]))
        return spans


EMPTY_CELL = Cell("\u2013", "quiet")


def number_cell(value: float | None, form: str = ".1e") -> Cell:
    """A number as a cell; none, or what JSON could not hold, as a dash."""
    return EMPTY_CELL if value is None else Cell(format(value, form))
