"""The report as Markdown, for CI summaries: everything except the images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from toolchain.report.table import Table
from toolchain.report.text import DEMONSTRATION

if TYPE_CHECKING:
    from toolchain.report.page import Page

SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$])")  # markup, that of GitHub included


def render_markdown(page: Page) -> str:
    """Render the report: verdict first, then the tables; long ones are collapsed."""
    return "\n".join(_lines(page)).rstrip("\n") + "\n"


def _lines(page: Page) -> Iterator[str]:
    yield from _verdict(page)
    if page.failures:
        yield from _failures(page)
    for table in (page.accuracy, page.agreement, page.latency):
        if table is not None:
            yield from (f"## {escape(table.title)}", "", *render_table(table), "")
    for table in (*(frame.table for frame in page.images.frames), page.stages, page.limits):
        if table is not None:
            yield from _folded(table)
    yield from ("## Origin", "")
    yield from (f"- {escape(name)}: {escape(text)}" for name, text in page.provenance)
    yield ""
    for table in (page.digests, page.versions):
        yield from _folded(table)
    yield "Images, histograms and the slider are in `report.html` in the same folder."


def _verdict(page: Page) -> Iterator[str]:
    mark = f"{chr(0x2705) if page.passed else chr(0x274C)} {page.verdict}"
    yield f"# {mark}: {escape(page.name)}"
    yield from ("", escape(page.headline), "")
    if page.demonstration:
        yield from (f"> **Demonstration weights.** {escape(DEMONSTRATION)}", "")
    yield from (f"Weights: {escape(page.weights)}.", "")
    for note in page.notes:
        yield from (f"> {escape(note)}", "")


def _failures(page: Page) -> Iterator[str]:
    yield from ("## What failed", "")
    for label, reasons, explanations in page.failures:
        yield from (f"**{escape(label)}**", "")
        yield from (f"- {escape(reason)}" for reason in reasons)
        yield ""
        if explanations is not None:
            yield from (*render_table(explanations), "")
    if page.rounding:
        yield from (escape(page.rounding), "")


def _folded(table: Table) -> Iterator[str]:
    yield from (f"<details><summary>{escape(table.title)}</summary>", "", *render_table(table), "")
    yield from ("</details>", "")


def render_table(table: Table) -> Iterator[str]:
    """Render a table in GitHub's format, its notes below."""
    heads = list(table.head)
    if table.groups:
        groups = [name for name, count in table.groups for _ in range(count)]
        heads = [
            f"{head}<br>{group}" if group else head
            for head, group in zip(map(escape, heads), map(escape, groups), strict=True)
        ]
    else:
        heads = [escape(head) for head in heads]
    yield f"| {' | '.join(heads)} |"
    yield "|" + " --- |" * len(heads)
    for row in table.rows:
        cells = (f"**{escape(c.text)}**" if c.style == "fail" else escape(c.text) for c in row)
        yield f"| {' | '.join(cells)} |"
    for note in table.notes:
        yield from ("", f"<sub>{escape(note)}</sub>")


def escape(text: str) -> str:
    """Escape markup and line breaks."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))
