"""Asynchronous inference: frames are submitted, predictions are awaited."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from toolchain.definitions.arrays import Pixels
from toolchain.runtimes.base import Runtime


@dataclass(frozen=True)
class Prediction:
    """Outputs for one frame, of the model's size: float32 0..1, or uint8 0..255 if requested.

    Attributes:
        pha: Alpha, H x W.
        fgr: Foreground, H x W x 3, RGB; may be a view of planes.
        seconds: Duration of the inference, 0 if it was not measured.
    """

    pha: npt.NDArray[Any]
    fgr: npt.NDArray[Any]
    seconds: float = 0.0


class InferenceQueue(Protocol):
    """A loaded model that can process several frames at a time."""

    @property
    def executed(self) -> str:
        """Precision that the runtime computes in: "f32", "bf16" or "f16"."""

    @property
    def depth(self) -> int:
        """Number of frames in flight that gives full throughput."""

    def submit(self, src: Pixels, bgr: Pixels) -> Future[Prediction]:
        """Submit a frame; may block while all requests are busy.

        Args:
            src: The frame, H x W x 3 uint8 RGB of the model's size.
            bgr: The clean plate, likewise.
        """

    def wait(self, future: Future[Prediction]) -> Prediction:
        """Wait for a submitted frame; raises the exception of a failed inference."""

    def close(self) -> None:
        """Finish the frames in flight and release threads."""


class SequentialQueue:
    """A queue that runs a synchronous runtime in one thread, one frame at a time."""

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
