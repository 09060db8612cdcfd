"""Reading, inference and what follows at the same time, for a bounded number of frames."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Generic, Protocol, TypeVar

from toolchain.definitions.arrays import Pixels
from toolchain.runtimes.inference_queue import InferenceQueue, Prediction

THREADS = max(2, min(4, os.cpu_count() or 2))
READ_AHEAD = 2  # frames more than there are threads or requests, so that nobody waits


class ModelInput(Protocol):
    """What a model takes."""

    @property
    def src(self) -> Pixels:
        """The frame."""

    @property
    def bgr(self) -> Pixels:
        """The clean plate."""


Item = TypeVar("Item")
Frame = TypeVar("Frame", bound=ModelInput)
Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class SkipInference(Generic[Outcome]):
    """What a reader gives for an item that needs no inference."""

    outcome: Outcome


def max_frames_held(queue: InferenceQueue) -> int:
    """The most frames that `run_overlapped` holds in memory at a time."""
    return 2 * (THREADS + READ_AHEAD) + queue.depth + 2


def run_overlapped(
    items: Iterable[Item],
    read: Callable[[Item], Frame | SkipInference[Outcome]],
    queue: InferenceQueue,
    finish: Callable[[Item, Frame, Prediction], Outcome],
) -> Generator[Outcome, None, None]:
    """Outcomes in the order of `items`; the queue is closed at the end.

    `read` and `finish` run in threads, `items` is drawn from here.  What any of them raises comes
    out here, and ends all.
    """
    source = iter(items)
    reading: deque[tuple[Item, Future[Frame | SkipInference[Outcome]]]] = deque()
    coming: deque[Future[Outcome]] = deque()
    readers = ThreadPoolExecutor(THREADS, "reading")
    finishers = ThreadPoolExecutor(THREADS, "finishing")

    def finished(item: Item, frame: Frame, begun: Future[Prediction]) -> Outcome:
        return finish(item, frame, queue.wait(begun))

    try:
        while True:
            room = THREADS + READ_AHEAD - len(reading)
            reading.extend((item, readers.submit(read, item)) for item in islice(source, room))
            if not reading:
                break
            item, got = reading[0][0], reading.popleft()[1].result()
            if isinstance(got, SkipInference):
                settled: Future[Outcome] = Future()
                settled.set_result(got.outcome)
                coming.append(settled)
            else:
                begun = queue.submit(got.src, got.bgr)
                coming.append(finishers.submit(finished, item, got, begun))
            while len(coming) > queue.depth + THREADS + READ_AHEAD or (coming and coming[0].done()):
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        readers.shutdown(cancel_futures=True)
        queue.close()
        finishers.shutdown(cancel_futures=True)
