"""Locks between processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from toolchain.errors import BusyError
from toolchain.workspace.locking import lock

ROOT = Path(__file__).parents[2]
HOLDER = (
    "import sys; from pathlib import Path; from toolchain.workspace.locking import lock\n"
    "with lock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
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


def test_a_lock_held_by_another_process_is_an_error_after_the_wait(tmp_path) -> None:
    """The error names the target and states that it is unchanged; only the lock file exists."""
    target = tmp_path / "deep" / "target"
    with holder(target) as process:
        with pytest.raises(BusyError, match="target") as caught, lock(target, 0.1):
            pytest.fail("two processes hold it")
        assert caught.value.kept == f"{target} was not changed."
        process.communicate("")
    with lock(target, 5):
        assert not target.exists()


def test_a_killed_process_releases_its_lock(tmp_path) -> None:
    """The operating system releases it; the lock file alone does not block."""
    with holder(tmp_path / "target") as process:
        process.kill()
        process.communicate()
    with lock(tmp_path / "target", 5):
        pass


def test_a_lock_excludes_other_threads(tmp_path) -> None:
    """Threads of one process wait for each other as processes do."""
    inside, most = [], []

    def work() -> None:
        for _ in range(20):
            with lock(tmp_path / "target", 30):
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
