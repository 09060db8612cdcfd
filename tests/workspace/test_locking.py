"""Locks between processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from toolchain.errors import WorkspaceError
from toolchain.workspace.locking import locked

ROOT = Path(__file__).parents[2]
HOLDER = (
    "import sys; from pathlib import Path; from toolchain.workspace.locking import locked\n"
    "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
)


def holder(target: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_another_process_keeps_out(tmp_path) -> None:
    """After the time given it is an error, and nothing was touched but the lock file."""
    target = tmp_path / "deep" / "target"
    with holder(target) as process:
        with pytest.raises(WorkspaceError, match="target"), locked(target, 0.1):
            pytest.fail("two processes hold it")
        process.communicate("")
    with locked(target, 5):
        assert not target.exists()


def test_a_killed_process_lets_go(tmp_path) -> None:
    """The operating system frees the lock; no time is lost on a stale file."""
    with holder(tmp_path / "target") as process:
        process.kill()
        process.communicate()
    with locked(tmp_path / "target", 5):
        pass


def test_threads_keep_each_other_out(tmp_path) -> None:
    """One process's threads wait for each other as processes do."""
    inside, most = [], []

    def work() -> None:
        for _ in range(20):
            with locked(tmp_path / "target", 30):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(most) == 60
