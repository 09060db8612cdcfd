"""Whole frames for the last part: a buffer of frames, each used a few times before it is replaced.

Two in three are composites of `toolchain.frames`, one has a figure and a room of the pool.  The
frames in the buffer depend on the step only, so that a continued run uses the same ones.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context

import numpy as np
import torch
from torch import Tensor

from toolchain.frames.generated import composite
from training.batches import Batch, draw
from training.pool import PROCESSES, Picture, Pool
from training.randomness import Randomness

WINDOW = 128  # frames in the buffer
FIRST = 24  # of them before the first step; each step adds one
FROM_POOL = 3  # every so many
FIRST_SEED = 2_000_000  # of composites; held-out ones have smaller seeds
AHEAD = 6  # frames being generated
MIRRORED = 0.5


@dataclass(frozen=True)
class Frames:
    """uint8, RGB: `both` (src, bgr) B x 6 x H x W, `alpha` B x 1 x H x W,
    `foreground` B x 3 x H x W.
    """

    both: Tensor
    alpha: Tensor
    foreground: Tensor


class Stream:
    """Frames of `size` (height, width) from step `step` on; close it to stop its workers."""

    def __init__(
        self, seed: int, pool: Pool, size: tuple[int, int], step: int, device: str
    ) -> None:
        self._seed, self._pool, self._size, self._device = seed, pool, size, device
        self._workers = ProcessPoolExecutor(PROCESSES, get_context("spawn"))
        self._next = max(0, _made(step) - WINDOW)
        self._asked: deque[Future[Picture]] = deque()
        self._unasked = self._next
        self._window: deque[Tensor] = deque(maxlen=WINDOW)

    def close(self) -> None:
        """Wait for the workers and stop them."""
        self._workers.shutdown(cancel_futures=True)

    def batch(self, step: int, count: int) -> Frames:
        """Sample `count` frames of the buffer at `step`, some mirrored."""
        while self._next < _made(step):
            self._window.append(self._frame(self._next))
            self._next += 1
        random = Randomness(self._seed, step, "cpu")
        chosen = random.integers(len(self._window), count).tolist()
        mirrored = (random.uniform(count) < MIRRORED).flatten().tolist()
        frames = torch.stack([
            self._window[index].flip(-1) if mirror else self._window[index]
            for index, mirror in zip(chosen, mirrored, strict=True)
        ]).to(self._device)  # fmt: skip
        return Frames(frames[:, :6], frames[:, 6:7], frames[:, 7:])

    def _frame(self, number: int) -> Tensor:
        while self._unasked < number + AHEAD * FROM_POOL // (FROM_POOL - 1):
            if not _from_pool(self._unasked):
                asked = self._workers.submit(_composite, self._seed, self._unasked, self._size)
                self._asked.append(asked)
            self._unasked += 1
        if _from_pool(number):
            random = Randomness(self._seed, FIRST_SEED + number, self._device)
            return _bytes(draw(self._pool, random, 1, self._size, 1.0, 1.0))
        return torch.from_numpy(self._asked.popleft().result())


@cache
def held_out(count: int, size: tuple[int, int]) -> list[Frames]:
    """Held-out composites; cached."""
    frames = (torch.from_numpy(_composite(0, number, size))[None] for number in range(count))
    return [Frames(frame[:, :6], frame[:, 6:7], frame[:, 7:]) for frame in frames]


def _made(step: int) -> int:
    return FIRST + step


def _from_pool(number: int) -> bool:
    return number % FROM_POOL == FROM_POOL - 1


def _composite(seed: int, number: int, size: tuple[int, int]) -> Picture:
    """src, bgr, alpha, foreground, 10 x H x W."""
    frame = composite(seed * FIRST_SEED + number, size[1], size[0])
    assert frame.alpha is not None
    assert frame.foreground is not None
    alpha = np.rint(frame.alpha * 255).astype(np.uint8)
    foreground = np.rint(np.clip(frame.foreground, 0, 1) * 255).astype(np.uint8)
    planes = [plane.transpose(2, 0, 1) for plane in (frame.src, frame.bgr, foreground)]
    return np.concatenate([*planes[:2], alpha[None], planes[2]])


def _bytes(batch: Batch) -> Tensor:
    frame = torch.cat([batch.src, batch.bgr, batch.alpha, batch.foreground], 1)[0]
    return (frame * 255).round().to(torch.uint8).cpu()
