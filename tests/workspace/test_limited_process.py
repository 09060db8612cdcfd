"""Work in processes with limits."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from toolchain.omz import regex_process
from toolchain.workspace import limited_process
from toolchain.workspace.limited_process import LimitExceeded, run_limited

MODULE = regex_process.__name__


def make_work(pattern: str, text: str) -> dict[str, object]:
    return {"pattern": pattern, "replacement": "x", "text": text, "count": 0}


def test_the_answer_is_returned() -> None:
    """From JSON."""
    assert run_limited(MODULE, make_work("a", "banana"), memory=0, seconds=60) == ["bxnxnx", 3]


def test_time_is_limited() -> None:
    """The process is stopped."""
    with pytest.raises(LimitExceeded, match="not finished within 1 s"):
        run_limited(MODULE, make_work("(a+)+$", "a" * 50 + "b"), memory=0, seconds=1.0)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of addresses")
def test_memory_is_limited() -> None:
    """Whether it is noticed in the process or by its end."""
    work = make_work("", "a" * 10_000_000)
    with pytest.raises(LimitExceeded, match="memory"):
        run_limited(MODULE, work, memory=150 << 20, seconds=60)


def test_modules_of_the_current_folder_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file json.py beside the user's models must not run."""
    (tmp_path / "json.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    assert run_limited(MODULE, make_work("a", "a"), memory=0, seconds=60) == ["x", 1]
    assert (limited_process.PROGRAM / "toolchain").is_dir()
