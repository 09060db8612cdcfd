"""Evaluation on a Dask cluster: every frame is scored once, also if workers are lost.

The workers need this toolchain in the same version, and the same paths to dataset and models.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from toolchain.errors import EvaluationError, ToolchainError, UsageError
from toolchain.stages.evaluate.request import EvaluatedModel
from toolchain.stages.evaluate.shard import (
    BadFrame,
    FrameTask,
    ScoredFrame,
    Scorer,
    Shard,
    score_frames,
)

LOCAL = "local"
FRAMES_PER_SHARD = 8  # a lost worker loses at most a shard
CONNECT_TIMEOUT = 20.0  # seconds
NO_WORKER_TIMEOUT = 60.0  # seconds without any worker before the stage fails
POLL_SECONDS = 2.0  # seconds between checks for workers
MAX_FAILURES = 3  # lost workers per shard
_ONE_AT_A_TIME = threading.Lock()  # shards of one worker run in turn
Part = tuple[Scorer, tuple[ScoredFrame | BadFrame, ...]]


class Cluster:
    """A connection to a scheduler."""

    def __init__(self, client: Any, threads: int) -> None:
        self._client = client
        self._threads = threads

    def outcomes(
        self, model: EvaluatedModel, tasks: Sequence[FrameTask], root: Path | None
    ) -> Iterator[tuple[Scorer, ScoredFrame | BadFrame]]:
        """Yield the outcome of each task once, in any order.

        Args:
            model: The model.
            tasks: The frames.
            root: Folder of the dataset, for messages.

        Yields:
            The scorer and the outcome.

        Raises:
            EvaluationError: There are no workers, or a shard failed; see also `score_frames`.
        """
        shards = [
            Shard(model, tuple(tasks[start : start + FRAMES_PER_SHARD]), root, self._threads)
            for start in range(0, len(tasks), FRAMES_PER_SHARD)
        ]
        futures = [self._client.submit(run_shard, shard, pure=False) for shard in shards]
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for future in futures:
            future.add_done_callback(done.put)
        left = {task.index for task in tasks}
        try:
            while left:
                scorer, outcomes = self._result(self._next(done), model)
                for outcome in outcomes:
                    if outcome.index in left:  # the shard of a lost worker may arrive twice
                        left.remove(outcome.index)
                        yield scorer, outcome
        finally:
            with contextlib.suppress(Exception):  # the cluster may be gone
                self._client.cancel(futures)

    def _next(self, done: queue.SimpleQueue[Any]) -> Any:
        seen = time.monotonic()
        while True:
            with contextlib.suppress(queue.Empty):
                return done.get(timeout=POLL_SECONDS)
            if self._client.nthreads():
                seen = time.monotonic()
            elif time.monotonic() - seen > NO_WORKER_TIMEOUT:
                raise EvaluationError(
                    f"the cluster has had no worker for {NO_WORKER_TIMEOUT:.0f} s",
                    kept="Existing scores are kept.",
                    hint="Start workers, and run the same command again.",
                )

    def _result(self, future: Any, model: EvaluatedModel) -> Part:
        try:
            part: Part = future.result(timeout=CONNECT_TIMEOUT)
        except ToolchainError:
            raise
        except Exception as error:
            raise EvaluationError(
                f"{model}: a shard failed on the cluster: {type(error).__name__}: {error}",
                kept="Existing scores are kept.",
                hint="The workers need this toolchain, enough memory, and the same paths to "
                "dataset and models.",
            ) from error
        return part


def run_shard(shard: Shard) -> Part:
    """Score a shard; called in a worker."""
    with _ONE_AT_A_TIME:
        scorer, outcomes = score_frames(shard.model, shard.tasks, shard.root, shard.threads)
        return scorer, tuple(outcomes)


@contextlib.contextmanager
def connect(address: str, workers: int | None) -> Iterator[Cluster]:
    """Connect to a scheduler.

    Args:
        address: Address of the scheduler, or "local" for processes on this machine.
        workers: Number of local processes, None for the default.

    Yields:
        The connection.

    Raises:
        UsageError: Dask is not installed.
        EvaluationError: No scheduler responds.
    """
    try:
        import dask
        import distributed
    except ImportError as error:
        raise UsageError(
            f"--cluster needs dask.distributed, which is not installed: {error}",
            hint="pip install 'background-matting-toolchain[cluster]'",
        ) from error
    quiet = {
        "distributed.scheduler.allowed-failures": MAX_FAILURES,
        "distributed.admin.event-loop-monitor": "off",
        "logging": {"distributed": "error"},
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(quiet))
        threads = 0
        target: Any = address
        if address == LOCAL:
            cores = os.cpu_count() or 1
            count = workers or min(cores, 4)
            threads = max(1, cores // count)
            target = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=count,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",  # None would use a fixed port
                    silence_logs="ERROR",
                    memory_limit=0,
                )
            )
        try:
            client = stack.enter_context(
                distributed.Client(target, timeout=CONNECT_TIMEOUT, set_as_default=False)
            )
        except (OSError, TimeoutError, ValueError) as error:
            raise EvaluationError(
                f"{address}: no Dask scheduler found: {error}",
                hint="Start one with `dask scheduler`, or use --cluster local.",
            ) from error
        yield Cluster(client, threads)
