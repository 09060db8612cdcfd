"""A page as Markdown, for CI summaries: everything but the pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from toolchain.pages.table import Table
from toolchain.pages.words import DEMONSTRATION

if TYPE_CHECKING:
    from toolchain.pages.page import Page

SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$])")  # what would be taken for markup, also by GitHub


def markdown(page: Page) -> str:
    """The report: verdict first, then the tables; long ones folded."""
    return "\n".join(_lines(page)).rstrip("\n") + "\n"


def _lines(page: Page) -> Iterator[str]:
    yield from _verdict(page)
    if page.failures:
        yield from _failures(page)
    for table in (page.accuracy, page.agreement, page.latency):
        if table is not None:
            yield from (f"## {_safe(table.title)}", "", *_table(table), "")
    for table in (*(frame.table for frame in page.pictures.frames), page.stages, page.limits):
        if table is not None:
            yield from _folded(table)
    yield from ("## Where it comes from", "")
    yield from (f"- {_safe(name)}: {_safe(text)}" for name, text in page.provenance)
    yield ""
    for table in (page.digests, page.versions):
        yield from _folded(table)
    yield "Pictures, histograms and the slider are in `report.html` beside this file."


def _verdict(page: Page) -> Iterator[str]:
    mark = "\u2705 PASS" if page.passed else "\u274c FAIL"
    yield f"# {mark}: {_safe(page.name)}"
    yield from ("", _safe(page.headline), "")
    if page.demonstration:
        yield from (f"> **Demonstration weights.** {_safe(DEMONSTRATION)}", "")
    yield from (f"Weights: {_safe(page.weights)}.", "")
    for note in page.notes:
        yield from (f"> {_safe(note)}", "")


def _failures(page: Page) -> Iterator[str]:
    yield from ("## What failed", "")
    for label, reasons, explanations in page.failures:
        yield from (f"**{_safe(label)}**", "")
        yield from (f"- {_safe(reason)}" for reason in reasons)
        yield ""
        if explanations is not None:
            yield from (*_table(explanations), "")
    if page.rounding:
        yield from (_safe(page.rounding), "")


def _folded(table: Table) -> Iterator[str]:
    yield from (f"<details><summary>{_safe(table.title)}</summary>", "", *_table(table), "")
    yield from ("</details>", "")


def _table(table: Table) -> Iterator[str]:
    heads = list(table.head)
    if table.groups:
        groups = [name for name, count in table.groups for _ in range(count)]
        heads = [
            f"{head}<br>{group}" if group else head
            for head, group in zip(map(_safe, heads), map(_safe, groups), strict=True)
        ]
    else:
        heads = [_safe(head) for head in heads]
    yield f"| {' | '.join(heads)} |"
    yield "|" + " --- |" * len(heads)
    for row in table.rows:
        cells = (f"**{_safe(c.text)}**" if c.mood == "fail" else _safe(c.text) for c in row)
        yield f"| {' | '.join(cells)} |"
    for note in table.notes:
        yield from ("", f"<sub>{_safe(note)}</sub>")


def _safe(text: str) -> str:
    """Text that stands for itself: no markup, one line."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))
