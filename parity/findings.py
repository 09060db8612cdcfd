"""What was found, and which differences the project admits to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "differences.md"
WIDTHS = (44, 34, 34)


@dataclass(frozen=True)
class Finding:
    """One thing compared.  `key`: its name in docs/differences.md, should it differ."""

    key: str
    what: str
    incumbent: str
    here: str
    same: bool


def compared(key: str, what: str, incumbent: object, here: object) -> Finding:
    """A finding on two values that should be equal."""
    return Finding(key, what, str(incumbent), str(here), incumbent == here)


def admitted(page: Path = PAGE) -> frozenset[str]:
    """The keys in the first column of the page's tables."""
    return frozenset(re.findall(r"^\| `([\w.-]+)` \|", page.read_text("utf-8"), re.MULTILINE))


def table(findings: Iterable[Finding], listed: frozenset[str]) -> str:
    """One line a finding."""
    head = _line("compared", "the incumbent", "here", "")
    lines = [_line(f.what, f.incumbent, f.here, verdict(f, listed)) for f in findings]
    return "\n".join([head, *lines])


def verdict(finding: Finding, listed: frozenset[str]) -> str:
    """`same`, `listed` for an admitted difference, or `DIFFERS`."""
    if finding.same:
        return "same"
    return "listed" if finding.key in listed else f"DIFFERS ({finding.key})"


def faults(findings: Sequence[Finding], listed: frozenset[str], *, whole: bool = True) -> list[str]:
    """What is wrong: differences not listed and, after a `whole` run, rows that hold no longer."""
    wrong = [
        f"{f.what}: not in {PAGE.name}: {f.key}: {f.incumbent!r} there, {f.here!r} here"
        for f in findings
        if not f.same and f.key not in listed
    ]
    if whole:
        different = {f.key for f in findings if not f.same}
        wrong += [
            f"{PAGE.name}: {key} is listed, but nothing of the kind was found"
            for key in sorted(listed - different)
        ]
    return wrong


def _line(*cells: str) -> str:
    texts = [" ".join(cell.split()) for cell in cells]
    cut = [
        text if len(text) <= width else text[: width - 3] + "..."
        for text, width in zip(texts, WIDTHS, strict=False)
    ]
    padded = [text.ljust(width) for text, width in zip(cut, WIDTHS, strict=True)]
    return " ".join([*padded, texts[-1]]).rstrip()
