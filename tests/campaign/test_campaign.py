"""The short form of `make campaign`: one try of each kind of fault; and the laws themselves."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from campaign.__main__ import main, read_journal
from campaign.doors import DOORS
from campaign.laws import Try
from campaign.processes import Forks
from campaign.table import Record, write_page

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="measures processes of Linux")


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    made = Forks()
    yield made
    made.close()


@pytest.fixture
def one(tmp_path: Path, forks: Forks) -> Try:
    (tmp_path / "try" / "here").mkdir(parents=True)
    return Try(tmp_path / "try" / "here", random.Random(1), forks)


def test_there_are_enough_kinds() -> None:
    """At least 60, each with a name of its own in its door."""
    kinds = [(kind.door, kind.name) for door in DOORS for kind in door.kinds]
    assert len(kinds) == len(set(kinds)) >= 60


@pytest.mark.parametrize("door", [door.name for door in DOORS])
def test_no_law_is_broken(door: str, tmp_path: Path) -> None:
    """A try of every kind of the door."""
    arguments = ["--door", door, "--tries", "1", "--minutes", "0", "--seed", "3"]
    assert main([*arguments, "--work", str(tmp_path)]) == 0


def test_a_traceback_is_noticed(one: Try) -> None:
    """An exception that a program lets through is a fault, whatever its exit code."""
    one.run("function", "no such function", "{}")
    one.finish()
    assert [fault.partition(":")[0] for fault in one.faults] == ["traceback"]


def test_lost_and_wrong_files_are_noticed(one: Try) -> None:
    """A good file that changed, and a result with another content."""
    one.keep("good", b"1").write_bytes(b"2")
    one.final("result", b"1", b"2").write_bytes(b"3")
    one.final("nothing", b"1")
    one.finish()
    assert [fault.partition(":")[0] for fault in one.faults] == ["lost file", "wrong artefact"]


def test_memory_and_hangs_are_noticed(one: Try) -> None:
    """A command over its bounds is a fault, and is stopped."""
    one.memory = -1
    one.run("matting", "--help")
    one.run("function", "read_checkpoint", '{"path": "."}', seconds=0.01)
    found = {fault.partition(":")[0] for fault in one.faults}
    assert {"memory or disk", "hang"} <= found


def test_an_interrupted_run_is_continued(tmp_path: Path) -> None:
    """Finished tries are not repeated; a line that was cut is ignored."""
    arguments = ["--door", "little memory", "--tries", "1", "--minutes", "0"]
    assert main([*arguments, "--work", str(tmp_path)]) == 0
    (journal,) = tmp_path.rglob("tries.jsonl")
    text = journal.read_text()
    journal.write_text(text + text[:30])
    records, spent = read_journal(journal)
    assert len(records) == 4
    assert spent > 0
    assert main([*arguments, "--work", str(tmp_path)]) == 0
    assert len(read_journal(journal)[0]) == 4


def test_the_page_lists_every_kind(tmp_path: Path) -> None:
    """With tries, failures and peaks."""
    kinds = [kind for door in DOORS for kind in door.kinds]
    records = [Record(kind.door, kind.name, 0, (), 3 << 20, 0) for kind in kinds]
    records.append(Record(kinds[0].door, kinds[0].name, 1, ("hang: 9 s",), 0, 0))
    write_page(tmp_path / "faults.md", kinds, records, 30.0, 1)
    text = (tmp_path / "faults.md").read_text()
    assert f"**{len(kinds)} kinds, {len(records)} tries, 1 failures**" in text
    assert f"| {kinds[0].door} | {kinds[0].name} | 2 | 1 | 3 | 0 |" in text
    assert "`hang: 9 s`" in text
