"""A pipeline that overlaps reading, inference and post-processing of frames."""

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
READ_AHEAD = 2  # frames in addition to threads or requests, so that none is idle


class ModelInput(Protocol):
    """Inputs of the model."""

    @property
    def src(self) -> Pixels:
        """The frame, H x W x 3 uint8 RGB."""

    @property
    def bgr(self) -> Pixels:
        """The clean plate, likewise."""


Item = TypeVar("Item")
Frame = TypeVar("Frame", bound=ModelInput)
Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class SkipInference(Generic[Outcome]):
    """A reader's result for an item that needs no inference.

    Attributes:
        outcome: Outcome of the item.
    """

    outcome: Outcome


def max_frames_held(queue: InferenceQueue) -> int:
    """Return the largest number of frames that `run_overlapped` holds in memory."""
    return 2 * (THREADS + READ_AHEAD) + queue.depth + 2


def run_overlapped(
    items: Iterable[Item],
    read: Callable[[Item], Frame | SkipInference[Outcome]],
    queue: InferenceQueue,
    finish: Callable[[Item, Frame, Prediction], Outcome],
) -> Generator[Outcome, None, None]:
    """Process items in a pipeline with a bounded number of frames in memory.

    The first exception of any function ends the pipeline and is raised here.

    Args:
        items: Iterated in the calling thread.
        read: Reads an item; called in threads.
        queue: Runs the model; closed at the end.
        finish: Processes a prediction; called in threads.

    Yields:
        The outcomes, in the order of `items`.
    """
    source = iter(items)
    reading: deque[tuple[Item, Future[Frame | SkipInference[Outcome]]]] = deque()
    coming: deque[Future[Outcome]] = deque()
    readers = ThreadPoolExecutor(THREADS, "reading")
    finishers = ThreadPoolExecutor(THREADS, "finishing")

    def process(item: Item, frame: Frame, begun: Future[Prediction]) -> Outcome:
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
                coming.append(finishers.submit(process, item, got, begun))
            while len(coming) > queue.depth + THREADS + READ_AHEAD or (coming and coming[0].done()):
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        readers.shutdown(cancel_futures=True)
        queue.close()
        finishers.shutdown(cancel_futures=True)
