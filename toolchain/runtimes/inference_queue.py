"""Inference that is asked for now and fetched later."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from toolchain.definitions.arrays import Pixels
from toolchain.runtimes.base import Runtime


@dataclass(frozen=True)
class Prediction:
    """`pha`: H x W; `fgr`: H x W x 3, RGB, maybe a view of planes; of the model's size.

    Both float32, 0..1, or from a queue that was asked for bytes uint8, 0..255.  `seconds`: how
    long the inference took, 0 where nobody measured.
    """

    pha: npt.NDArray[Any]
    fgr: npt.NDArray[Any]
    seconds: float = 0.0


class InferenceQueue(Protocol):
    """A loaded model that may work on several frames at a time."""

    @property
    def executed(self) -> str:
        """The precision that the runtime computes in: "f32", "bf16", "f16"."""

    @property
    def depth(self) -> int:
        """How many frames should be under way for full speed."""

    def submit(self, src: Pixels, bgr: Pixels) -> Future[Prediction]:
        """`src`, `bgr`: H x W x 3 uint8 RGB of the model's size.  May block while all is busy."""

    def wait(self, future: Future[Prediction]) -> Prediction:
        """What `submit` promised; raises what went wrong instead."""

    def close(self) -> None:
        """Finish what is under way and let go of threads."""


class SequentialQueue:
    """A runtime without a queue of its own, in a thread of its own."""

    depth = 1

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._thread = ThreadPoolExecutor(1, "inference")

    @property
    def executed(self) -> str:
        """See `InferenceQueue.executed`."""
        return self._runtime.executed

    def submit(self, src: Pixels, bgr: Pixels) -> Future[Prediction]:
        """See `InferenceQueue.submit`; never blocks."""
        return self._thread.submit(self._infer, src, bgr)

    def wait(self, future: Future[Prediction]) -> Prediction:
        """See `InferenceQueue.wait`."""
        return future.result()

    def close(self) -> None:
        """See `InferenceQueue.close`."""
        self._thread.shutdown(cancel_futures=True)

    def _infer(self, src: Pixels, bgr: Pixels) -> Prediction:
        found = self._runtime.infer(src, bgr)
        return Prediction(found.pha, found.fgr)
