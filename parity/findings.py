"""Results of the comparison, and the differences that the project lists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "differences.md"
WIDTHS = (44, 34, 34)


@dataclass(frozen=True)
class Finding:
    """Result of one comparison.

    Attributes:
        key: Key of the row in docs/differences.md that lists the difference, if there is one.
        what: What was compared.
        omz: Result of Open Model Zoo.
        ours: Result of this toolchain.
        same: Whether they are equal.
    """

    key: str
    what: str
    omz: str
    ours: str
    same: bool


def compare(key: str, what: str, omz: object, ours: object) -> Finding:
    """Compare two values that should be equal."""
    return Finding(key, what, str(omz), str(ours), omz == ours)


def read_listed_keys(page: Path = PAGE) -> frozenset[str]:
    """Read the keys in the first column of the page's tables."""
    return frozenset(re.findall(r"^\| `([\w.-]+)` \|", page.read_text("utf-8"), re.MULTILINE))


def format_table(findings: Iterable[Finding], listed: frozenset[str]) -> str:
    """Format the findings as text, one per line."""
    head = _format_line("compared", "Open Model Zoo", "here", "")
    lines = [_format_line(f.what, f.omz, f.ours, get_status(f, listed)) for f in findings]
    return "\n".join([head, *lines])


def get_status(finding: Finding, listed: frozenset[str]) -> str:
    """`same`, `listed` for a listed difference, or `DIFFERS` with the key."""
    if finding.same:
        return "same"
    return "listed" if finding.key in listed else f"DIFFERS ({finding.key})"


def find_faults(
    findings: Sequence[Finding], listed: frozenset[str], *, all_checks: bool = True
) -> list[str]:
    """Find what fails the run.

    Args:
        findings: All findings.
        listed: Keys of the listed differences.
        all_checks: Whether all checks were run; only then can a row be without a difference.

    Returns:
        A message for each difference that is not listed, and for each row without a difference.
    """
    faults = [
        f"{f.what}: not in {PAGE.name}: {f.key}: {f.omz!r} in Open Model Zoo, {f.ours!r} here"
        for f in findings
        if not f.same and f.key not in listed
    ]
    if all_checks:
        different = {f.key for f in findings if not f.same}
        faults += [
            f"{PAGE.name}: {key} is listed, but no such difference was found"
            for key in sorted(listed - different)
        ]
    return faults


def _format_line(*cells: str) -> str:
    texts = [" ".join(cell.split()) for cell in cells]
    padded = [
        (text if len(text) <= width else text[: width - 3] + "...").ljust(width)
        for text, width in zip(texts, WIDTHS, strict=False)
    ]
    return " ".join([*padded, texts[-1]]).rstrip()
