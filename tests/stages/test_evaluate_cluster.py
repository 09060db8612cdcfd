"""Evaluation on a Dask cluster: a real scheduler, real workers, and one of them killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.datasets import write_published
from tests.support.evaluating import build_small, small_request
from toolchain.errors import EvaluationError, UsageError
from toolchain.frames.open_dataset import open_dataset
from toolchain.stages.evaluate import cluster
from toolchain.stages.evaluate.evaluate import evaluate
from toolchain.stages.evaluate.records import FOLDER
from toolchain.stages.evaluate.request import EvaluateRequest
from toolchain.workspace.journal import Journal

pytest.importorskip("distributed")
ROOT = Path(__file__).parents[2]
CLIPS = {"a": 12, "b": 9, "c": 11}
FRAMES = sum(CLIPS.values())


@pytest.fixture(scope="module")
def alone(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> EvaluateRequest:
    """Evaluated in this process; not to be changed."""
    folder = tmp_path_factory.mktemp("cluster")
    built = build_small(checkpoint, folder / "built")
    dataset = open_dataset(write_published(folder / "set", CLIPS), None, 1)
    request = small_request(built, dataset, folder / "alone" / "evaluation.json")
    evaluate(request)
    return request


def started(*arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-m", *arguments]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    )


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler of its own process, on loopback."""
    file = tmp_path_factory.mktemp("scheduler") / "scheduler.json"
    process = started(
        "distributed.cli.dask_scheduler",
        *("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)),
    )
    try:
        deadline = time.monotonic() + 120
        while not file.exists() or not file.read_text().strip():
            assert process.poll() is None, "the scheduler ended"
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield json.loads(file.read_text())["address"]
    finally:
        process.kill()
        process.wait()


def worker(address: str) -> subprocess.Popen[str]:
    return started(
        "distributed.cli.dask_worker",
        *(address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0"),
    )


def records(request: EvaluateRequest) -> list[str]:
    """The frames in the journals, in the order in which they were written."""
    journals = (request.target.parent / FOLDER).glob("*.jsonl")
    return [entry["frame"] for path in journals for entry in Journal(path).entries()]


def test_a_killed_worker_loses_no_frame_and_counts_none_twice(
    alone: EvaluateRequest, scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two workers is killed at work: the same bytes come out, each frame scored once."""
    monkeypatch.setattr(cluster, "FRAMES_PER_SHARD", 4)
    request = replace(alone, target=tmp_path / "evaluation.json", cluster=scheduler)
    workers = [worker(scheduler), worker(scheduler)]
    killed_at: list[int] = []

    def kill() -> None:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            if (done := len(records(request))) >= 4:
                os.kill(workers[0].pid, signal.SIGKILL)
                killed_at.append(done)
                return
            time.sleep(0.02)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        result = evaluate(request)
    finally:
        killer.join()
        for process in workers:
            process.kill()
            process.wait()
    assert killed_at
    assert killed_at[0] < FRAMES, "the worker was killed too late to matter"
    assert result.scored == FRAMES
    assert sorted(records(request)) == sorted(item.name for item in alone.dataset.items)
    expected = json.loads(alone.target.read_text())
    assert json.loads(request.target.read_text()) == expected
    assert request.target.read_bytes() == alone.target.read_bytes()


def test_local_processes_give_the_same_bytes_and_go_on_where_they_were(
    alone: EvaluateRequest, tmp_path: Path
) -> None:
    """`local` scores what a run in this process left, and the split does not show."""
    request = replace(alone, target=tmp_path / "evaluation.json", cluster="local", workers=2)
    (journal,) = (alone.target.parent / FOLDER).iterdir()
    half = tmp_path / FOLDER / journal.name
    half.parent.mkdir()
    half.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[: FRAMES // 2]))
    result = evaluate(request)
    assert result.scored == FRAMES - FRAMES // 2
    assert request.target.read_bytes() == alone.target.read_bytes()
    assert evaluate(request).scored == 0


def test_a_missing_scheduler_is_an_error(alone: EvaluateRequest, tmp_path: Path) -> None:
    """The error is one sentence with a hint."""
    request = replace(alone, target=tmp_path / "evaluation.json", cluster="tcp://127.0.0.1:9")
    with pytest.raises(EvaluationError, match="no Dask scheduler found"):
        evaluate(request)


def test_missing_workers_are_an_error(
    alone: EvaluateRequest, scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scheduler without workers is waited for, but not for ever."""
    monkeypatch.setattr(cluster, "NO_WORKER_TIMEOUT", 1.0)
    monkeypatch.setattr(cluster, "POLL_SECONDS", 0.2)
    request = replace(alone, target=tmp_path / "evaluation.json", cluster=scheduler)
    with pytest.raises(EvaluationError, match="has had no worker"):
        evaluate(request)


def test_without_dask_the_error_names_the_extra(
    alone: EvaluateRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the extra; evaluation without a cluster works."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    request = replace(alone, target=tmp_path / "evaluation.json", cluster="local")
    with pytest.raises(UsageError) as caught:
        evaluate(request)
    assert "background-matting-toolchain[cluster]" in caught.value.hint
