"""The append-only journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolchain.errors import WorkspaceError
from toolchain.workspace.journal import Journal

ENTRIES = [{"frame": f"clip/{number}", "scores": [number / 3, 1e-300]} for number in range(4)]


def written(path: Path) -> bytes:
    with Journal(path) as journal:
        for entry in ENTRIES:
            journal.append(entry)
    return path.read_bytes()


def test_a_file_cut_at_any_byte_keeps_the_entries_before(tmp_path: Path) -> None:
    """The complete entries are read, and more can be appended and read."""
    path = tmp_path / "deep" / "j.jsonl"
    data = written(path)
    assert Journal(path).entries() == ENTRIES
    ends = [index + 1 for index, byte in enumerate(data) if byte == ord("\n")]
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        whole = sum(end <= cut for end in ends)
        assert Journal(path).entries() == ENTRIES[:whole]
        assert path.read_bytes() == data[:cut]
        with Journal(path) as journal:
            journal.append({"more": 1})
        assert Journal(path).entries() == [*ENTRIES[:whole], {"more": 1}]


def test_a_damaged_line_is_skipped(tmp_path: Path) -> None:
    """A flipped bit in a line never yields a wrong entry, and other entries are read."""
    path = tmp_path / "j.jsonl"
    data = written(path)
    start = data.index(b"\n") + 1
    for place in range(start, data.index(b"\n", start)):
        damaged = bytearray(data)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        found = Journal(path).entries()
        assert [entry for entry in found if entry in ENTRIES] == found
        assert len(found) >= len(ENTRIES) - 1 - (damaged.count(b"\n") < data.count(b"\n"))


def test_reading_creates_no_file(tmp_path: Path) -> None:
    """A missing journal has no entries and is still missing afterwards."""
    with Journal(tmp_path / "a" / "j.jsonl") as journal:
        assert journal.entries() == []
    assert list(tmp_path.iterdir()) == []


def test_an_unreadable_or_unwritable_journal_is_an_error(tmp_path: Path) -> None:
    """A folder in its place is a WorkspaceError."""
    (tmp_path / "j.jsonl").mkdir()
    with pytest.raises(WorkspaceError, match="cannot read"):
        Journal(tmp_path / "j.jsonl").entries()
    with pytest.raises(WorkspaceError, match="cannot write"):
        Journal(tmp_path / "j.jsonl").append({})
