"""Reading, inference and scoring side by side: in order, in bounds, and never hanging."""

from __future__ import annotations

import threading
import time
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

from toolchain.definitions.arrays import Pixels
from toolchain.runtimes.inference_queue import Prediction
from toolchain.runtimes.overlap import SkipInference, max_frames_held, run_overlapped

FRAMES = 60


@dataclass(frozen=True, eq=False)
class Numbered:
    src: Pixels
    bgr: Pixels


def numbered(number: int) -> Numbered:
    return Numbered(np.full((4, 4, 3), number, np.uint8), np.zeros((4, 4, 3), np.uint8))


class Slow:
    """A queue that takes longer for some frames than for others."""

    executed = "f32"
    depth = 3

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(3)
        self.closed = False

    def submit(self, src: Pixels, bgr: Pixels) -> Future[Prediction]:
        return self._pool.submit(self._infer, src)

    def wait(self, future: Future[Prediction]) -> Prediction:
        return future.result()

    def close(self) -> None:
        self._pool.shutdown()
        self.closed = True

    def _infer(self, src: Pixels) -> Prediction:
        number = int(src[0, 0, 0])
        time.sleep(0.002 * (number % 3))
        if number == 41:
            raise RuntimeError("the device is gone")
        return Prediction(src[..., 0] / np.float32(255), src / np.float32(255))


def finish(item: int, _: Numbered, found: Prediction) -> tuple[str, int]:
    time.sleep(0.002 * (item % 2))
    return "inferred", round(float(found.pha[0, 0]) * 255)


def test_outcomes_come_in_order_whoever_is_quicker() -> None:
    """Frames that need no inference and frames that do stay where they were."""

    def read(item: int) -> Numbered | SkipInference[tuple[str, int]]:
        time.sleep(0.001 * (item % 4))
        return SkipInference(("settled", item)) if item % 5 == 0 else numbered(item)

    queue = Slow()
    found = list(run_overlapped(range(40), read, queue, finish))
    assert found == [("settled" if n % 5 == 0 else "inferred", n) for n in range(40)]
    assert queue.closed


def test_frames_in_memory_do_not_grow_with_the_dataset() -> None:
    """However slow the consumer is, no more frames are in memory than the bound."""
    alive: weakref.WeakSet[Numbered] = weakref.WeakSet()
    most = 0

    def read(item: int) -> Numbered:
        frame = numbered(item % 40)
        alive.add(frame)
        return frame

    queue = Slow()
    for _ in run_overlapped(range(4 * FRAMES), read, queue, finish):
        most = max(most, len(alive))
        time.sleep(0.001)
    assert 1 < most <= max_frames_held(queue)


@pytest.mark.parametrize("where", ["read", "infer", "finish", "draw"])
def test_an_error_anywhere_comes_out_and_ends_all(where: str) -> None:
    """No thread is left waiting, and what was finished before came out first."""

    def read(item: int) -> Numbered:
        if where == "read" and item == 41:
            raise RuntimeError("the disk is gone")
        return numbered(item if where == "infer" or item != 41 else 40)

    def last(item: int, frame: Numbered, found: Prediction) -> tuple[str, int]:
        if where == "finish" and item == 41:
            raise RuntimeError("the scores are gone")
        return finish(item, frame, found)

    def items() -> list[int] | object:
        for number in range(FRAMES):
            if where == "draw" and number == 41:
                raise RuntimeError("the list is gone")
            yield number

    before = threading.active_count()
    queue = Slow()
    found: list[tuple[str, int]] = []
    with pytest.raises(RuntimeError, match=r"(is|are) gone"):
        found.extend(run_overlapped(items(), read, queue, last))  # type: ignore[arg-type]
    assert 20 < len(found) <= 41
    assert queue.closed
    assert threading.active_count() <= before


def test_a_consumer_that_leaves_stops_the_work() -> None:
    """Closing it early closes the queue and ends the threads."""
    before = threading.active_count()
    queue = Slow()
    outcomes = run_overlapped(range(10**9), lambda item: numbered(item % 40), queue, finish)
    assert next(outcomes)[0] == "inferred"
    outcomes.close()
    assert queue.closed
    assert threading.active_count() <= before
