"""Differences, listed and not, as `make parity` reports them."""

from __future__ import annotations

from pathlib import Path

from parity.findings import (
    PAGE,
    Finding,
    find_faults,
    format_table,
    get_status,
    read_listed_keys,
)

SAME = Finding("flags", "flags", "14", "14", same=True)
OTHER = Finding("convert.half", "FP16", "rounded", "kept", same=False)


def test_a_difference_that_is_not_listed_is_a_fault() -> None:
    """The message has its key and both values; once the page has the key, there is no fault."""
    (message,) = find_faults([SAME, OTHER], frozenset())
    assert "convert.half" in message
    assert "'rounded' in Open Model Zoo, 'kept' here" in message
    assert get_status(OTHER, frozenset()) == "DIFFERS (convert.half)"
    assert find_faults([SAME, OTHER], frozenset({"convert.half"})) == []
    assert get_status(OTHER, frozenset({"convert.half"})) == "listed"


def test_a_row_without_a_difference_is_a_fault() -> None:
    """But only if all checks were run."""
    listed = frozenset({"convert.half", "gone"})
    (message,) = find_faults([SAME, OTHER], listed)
    assert "gone" in message
    assert find_faults([SAME, OTHER], listed, all_checks=False) == []


def test_keys_are_read_from_the_page(tmp_path: Path) -> None:
    """They are in the first column of tables, also of the project's own page."""
    page = tmp_path / "page.md"
    page.write_text("| key | x |\n|---|---|\n| `a.b-c` | `d` |\ntext `e`\n", encoding="utf-8")
    assert read_listed_keys(page) == {"a.b-c"}
    assert "convert.half" in read_listed_keys(PAGE)


def test_each_finding_is_one_line_of_the_table() -> None:
    """Long texts are shortened."""
    long = Finding("k", "what\nit is " * 20, "x" * 300, "y", same=False)
    assert len(format_table([SAME, long], frozenset()).splitlines()) == 3
