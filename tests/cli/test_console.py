"""Listeners: plain lines for logs, bars for terminals, nothing on stdout."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from toolchain.cli import console
from toolchain.cli.console import Bars, PlainLines, make_listener
from toolchain.progress import SilentListener

ROOT = Path(__file__).parents[2]
BRACKETS = "kept: /tmp/a[bold]b[/bold] [1/2] :smile: " + "x" * 150


def test_plain_lines_if_stderr_is_not_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines are on stderr only; quiet shows nothing."""
    assert isinstance(make_listener(), PlainLines)
    assert isinstance(make_listener(quiet=True), SilentListener)
    listener = make_listener()
    with listener.task("download x.pth", 2e6, "B") as task:
        task.reach(1e6)
        task.reach(2e6)
    listener.note(BRACKETS)
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert re.fullmatch(r"download x\.pth: done, 2\.0 MB, \d+\.\d s", first)
    assert second == BRACKETS


def test_plain_lines_appear_every_ten_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line has the amount done and the total."""
    now = iter([0.0, 1.0, 11.0, 12.0, 22.0, 23.0])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(now))
    with PlainLines().task("Validating", 30, "runs") as task:
        for done in (1, 2, 3, 4):
            task.reach(done)
    assert capsys.readouterr().err.splitlines() == [
        "Validating: 2 of 30 runs",
        "Validating: 4 of 30 runs",
        "Validating: done, 4 runs, 23.0 s",
    ]


def test_a_failed_task_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """An exception is reported as `failed` and propagates."""

    def fail() -> None:
        with PlainLines().task("export") as task:
            task.expect(None)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert "export: failed, 0" in capsys.readouterr().err


def test_lines_go_where_stderr_was_when_the_command_began(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library that replaces sys.stderr for a while does not hide them."""
    for listener in (PlainLines(), Bars()):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", None)
            listener.note("shown")
        assert capsys.readouterr().err == "shown\n"


def test_lines_of_threads_stay_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """Notes of two threads never share a line."""
    listener = PlainLines()

    def write(word: str) -> None:
        for _ in range(300):
            listener.note(word * 40)

    threads = [threading.Thread(target=write, args=(word,)) for word in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = capsys.readouterr().err.splitlines()
    assert sorted(lines) == ["a" * 40] * 300 + ["b" * 40] * 300


PROGRAM = """
import sys, time
from toolchain.cli.console import Bars, make_listener
listener = make_listener()
assert isinstance(listener, Bars), listener
task = listener.task
with task("first [b]file[/b]", 2e6, "B") as one, task("second", None, "runs") as two:
    one.reach(1e6)
    two.expect(5)
    two.reach(3)
    listener.note(sys.argv[1])
    print("data")
    time.sleep(0.25)
    one.reach(2e6)
    two.reach(5)
listener.note("after")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
def test_bars_on_a_terminal() -> None:
    """Bars of two tasks are shown at the same time; brackets are not taken for markup.

    What the program prints to stdout stays there.
    """
    import pty

    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, BRACKETS],
        stdout=subprocess.PIPE,
        stderr=follower,
        env=environment,
    ) as process:
        os.close(follower)
        shown = b""
        try:
            while piece := os.read(leader, 65536):
                shown += piece
        except OSError:  # Linux: the other end was closed
            pass
        out, _ = process.communicate()
    os.close(leader)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r", "")
    assert process.returncode == 0, text
    assert out == b"data\n"
    assert BRACKETS in text
    assert "first [b]file[/b]" in text
    assert "2.0 MB" in text
    assert "5 runs" in text
    assert "100%" in text
    lines = text.splitlines()
    together = [one for one, two in itertools.pairwise(lines) if "second" in two]
    assert any("first" in line for line in together)
    assert lines[-1] == "after"
