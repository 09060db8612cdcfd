"""`Matting`: a built model, loaded into OpenVINO."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from toolchain.api.letterbox import Letterbox, Size
from toolchain.api.matte import Matte
from toolchain.api.model_files import ModelFile, find_model
from toolchain.definitions.arrays import Pixels
from toolchain.definitions.variants import Hint
from toolchain.errors import FrameError
from toolchain.runtimes.inference_queue import Prediction
from toolchain.runtimes.openvino_async import OpenVinoQueue
from toolchain.runtimes.overlap import SkipInference, run_overlapped

Pair = tuple[Pixels, Pixels]
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class PreparedPair:
    """A frame and its clean plate at the model's input size.

    Attributes:
        src: The frame, H x W x 3, uint8, RGB, of the model's input size.
        bgr: The clean plate, likewise.
        original: The frame at its own size.
        letterbox: Placement of the frame in the model's input.
    """

    src: Pixels
    bgr: Pixels
    original: Pixels
    letterbox: Letterbox


class Matting:
    """A built model, loaded into OpenVINO.

    Frames and clean plates are H x W x 3, uint8, RGB, of any size. They are resized to the model's
    input size, and the mattes are restored to the size of the frame. All methods are thread-safe.

    Args:
        model: Output folder of `matting build`, the folder of one of its models or precisions, the
            .xml file of an IR, or a package from `matting package`, which is verified first.
        precision: Precision to load if a folder contains several: "FP32", "FP16" or "FP16-INT8".
            By default FP16, then FP32, then any other.
        device: OpenVINO's name of the device.
        hint: Precision to compute in: "f32", or "default" for the one that the device chooses
            (bf16 on some CPUs).
        threads: Maximum number of CPU threads, 0 for all.
        as_bytes: Return mattes as uint8 in 0..255 instead of float32 in 0..1. They need a quarter
            of the memory, and are as exact as an 8-bit image.

    Raises:
        UsageError: The model was not found.
        ValidationError: OpenVINO cannot run the model on the device.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        precision: str | None = None,
        device: str = "CPU",
        hint: Hint = "default",
        threads: int = 0,
        as_bytes: bool = False,
    ) -> None:
        self._located = find_model(Path(model), precision)
        self._queue = OpenVinoQueue(
            self._located.xml, hint, device, threads=threads, as_bytes=as_bytes
        )

    @property
    def located(self) -> ModelFile:
        """The IR in use, with its name and precision."""
        return self._located

    @property
    def size(self) -> Size:
        """Width and height of the model's input."""
        return self._queue.size

    @property
    def executed(self) -> str:
        """Precision that the device computes in: "f32", "bf16" or "f16"."""
        return self._queue.executed

    @property
    def depth(self) -> int:
        """Number of inference requests in flight at full speed."""
        return self._queue.depth

    @property
    def facts(self) -> Mapping[str, str]:
        """Metadata of the IR, such as `weights_are`; empty if another tool wrote it."""
        return self._queue.facts

    def matte(self, src: Pixels, bgr: Pixels) -> Matte:
        """Matte one frame.

        Args:
            src: The frame, H x W x 3, uint8, RGB.
            bgr: The clean plate, of the same size and type.

        Returns:
            Alpha H x W and foreground H x W x 3, of the frame's size.

        Raises:
            FrameError: An array has another type or shape, or the two differ in size.
        """
        pair = self.prepare(src, bgr)
        return self._restore(pair, self._queue.wait(self._queue.submit(pair.src, pair.bgr)))

    def stream(self, pairs: Iterable[Pair]) -> Generator[Matte, None, None]:
        """Matte a sequence of frames, several at a time.

        Pairs are read as needed; about twice as many as there are inference requests are held in
        memory. Do not change an array before its matte was returned.

        Args:
            pairs: Frames and their clean plates, as for `matte`.

        Yields:
            The mattes, in the order of `pairs`.

        Raises:
            FrameError: As for `matte`. This and any exception from `pairs` is raised after the
                mattes before it.
        """
        return self.process(pairs, lambda pair: self.prepare(*pair), lambda _, matte: matte)

    async def stream_async(
        self, pairs: Iterable[Pair] | AsyncIterable[Pair]
    ) -> AsyncGenerator[Matte, None]:
        """Matte a sequence of frames without blocking the event loop.

        Args:
            pairs: As for `stream`, plain or asynchronous.

        Yields:
            The mattes, in the order of `pairs`.
        """
        loop = asyncio.get_running_loop()
        pending: deque[asyncio.Future[Matte]] = deque()
        threads = ThreadPoolExecutor(self.depth + 1, "matting")
        try:
            async for src, bgr in _iterate(pairs):
                pending.append(loop.run_in_executor(threads, self.matte, src, bgr))
                while len(pending) > self.depth or (pending and pending[0].done()):
                    yield await pending.popleft()
            while pending:
                yield await pending.popleft()
        finally:
            for future in pending:
                future.cancel()
            threads.shutdown(wait=False, cancel_futures=True)

    def process(
        self,
        items: Iterable[Item],
        prepare: Callable[[Item], PreparedPair],
        finish: Callable[[Item, Matte], Result],
    ) -> Generator[Result, None, None]:
        """Run items through the model, with preparation and post-processing in other threads.

        Args:
            items: What is processed.
            prepare: Returns the frame and clean plate of an item at the model's input size.
            finish: Turns an item and its matte into a result.

        Yields:
            The results, in the order of `items`. An exception from `items` or `prepare` is raised
            after the results before it.
        """

        def read(item: Item | _Failure) -> PreparedPair | SkipInference[Result | _Failure]:
            if isinstance(item, _Failure):
                return SkipInference(item)
            try:
                return prepare(item)
            except Exception as error:  # noqa: BLE001 - raised below, in its place
                return SkipInference(_Failure(error))

        def complete(
            item: Item | _Failure, pair: PreparedPair, prediction: Prediction
        ) -> Result | _Failure:
            assert not isinstance(item, _Failure)
            return finish(item, self._restore(pair, prediction))

        with closing(run_overlapped(_until_failure(items), read, self._queue, complete)) as results:
            for result in results:
                if isinstance(result, _Failure):
                    raise result.error
                yield result

    def letterbox(self, size: Size) -> Letterbox:
        """Return the placement in the model's input of images of a width and height."""
        return Letterbox(size, self.size)

    def prepare(self, src: Pixels, bgr: Pixels) -> PreparedPair:
        """Check a frame and its clean plate, and resize them to the model's input size.

        Args:
            src: The frame, H x W x 3, uint8, RGB.
            bgr: The clean plate, of the same size and type.

        Returns:
            The pair.

        Raises:
            FrameError: An array has another type or shape, or the two differ in size.
        """
        _require_image("src", src)
        _require_image("bgr", bgr)
        if src.shape != bgr.shape:
            raise FrameError(
                f"bgr: the clean plate is {bgr.shape[1]}x{bgr.shape[0]}, "
                f"the frame is {src.shape[1]}x{src.shape[0]}",
                hint="Take both with the same camera settings.",
            )
        letterbox = self.letterbox((src.shape[1], src.shape[0]))
        return PreparedPair(letterbox.apply(src), letterbox.apply(bgr), src, letterbox)

    def close(self) -> None:
        """Wait until all started inference requests are finished."""
        self._queue.close()

    def __enter__(self) -> Matting:  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @staticmethod
    def _restore(pair: PreparedPair, prediction: Prediction) -> Matte:
        foreground = pair.letterbox.restore_foreground(prediction.fgr, pair.src, pair.original)
        if foreground.dtype != np.uint8:
            foreground = np.ascontiguousarray(foreground)
        alpha = pair.letterbox.restore_alpha(prediction.pha)
        return Matte(alpha, foreground, prediction.seconds)


@dataclass(frozen=True)
class _Failure:
    error: Exception


def _until_failure(items: Iterable[Item]) -> Generator[Item | _Failure, None, None]:
    try:
        yield from items
    except Exception as error:  # noqa: BLE001 - raised by `process`, in its place
        yield _Failure(error)


def _require_image(name: str, image: object) -> None:
    if isinstance(image, np.ndarray):
        found = f"{'x'.join(map(str, image.shape))} {image.dtype}"
        is_rgb = image.ndim == 3 and image.shape[2] == 3 and image.size  # noqa: PLR2004
        if is_rgb and image.dtype == np.uint8:
            return
    else:
        found = type(image).__name__
    raise FrameError(f"{name}: expected an H x W x 3 array of uint8 (RGB), found {found}")


async def _iterate(pairs: Iterable[Pair] | AsyncIterable[Pair]) -> AsyncGenerator[Pair, None]:
    if isinstance(pairs, AsyncIterable):
        async for pair in pairs:
            yield pair
        return
    for pair in pairs:
        yield pair
