"""`Matting`: a loaded model."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from toolchain.api.letterbox import Fit, Size
from toolchain.api.model_files import Located, locate
from toolchain.api.matte import Matte
from toolchain.definitions.arrays import Pixels
from toolchain.definitions.variants import Hint
from toolchain.errors import FrameError
from toolchain.runtimes.openvino_async import OpenVinoQueue
from toolchain.runtimes.overlapped import Settled, overlapped

if TYPE_CHECKING:
    from toolchain.runtimes.queued import Prediction

Pair = tuple[Pixels, Pixels]
Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


@dataclass(frozen=True, eq=False)
class Prepared:
    """A pair as the model takes it.  `src`, `bgr`: of its size; `whole`: the frame as it came."""

    src: Pixels
    bgr: Pixels
    whole: Pixels
    fit: Fit


class Matting:
    """A model that was built, loaded into OpenVINO.

    `model`: a folder that `matting build` made, one of its models or precisions, the .xml of an
    IR, or an archive that `matting package` made, which is verified first.  `precision`: of several
    in a folder, "FP32", "FP16" or "FP16-INT8" (FP16, else FP32).  `device`: as OpenVINO names it.
    `hint`: "default", what the device takes by itself (bf16 on some CPUs), or "f32".  `threads`:
    how many it may use, 0 for all.  `as_bytes`: mattes as uint8 0..255 instead of float32 0..1; a
    quarter of the memory, and as much as pictures hold.

    Frames and plates are H x W x 3 uint8 RGB of any size; they are fitted to the model's size and
    the mattes brought back.  All methods may be called from several threads.

    Raises UsageError for a model that is not there, ValidationError for one that can't be run.
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
        self._located = locate(Path(model), precision)
        self._queue = OpenVinoQueue(
            self._located.xml, hint, device, threads=threads, as_bytes=as_bytes
        )

    @property
    def located(self) -> Located:
        """The IR in use, its name and precision."""
        return self._located

    @property
    def size(self) -> Size:
        """Width and height that the model works at."""
        return self._queue.size

    @property
    def executed(self) -> str:
        """The precision that the device computes in: "f32", "bf16", "f16"."""
        return self._queue.executed

    @property
    def depth(self) -> int:
        """How many frames are in flight at full speed."""
        return self._queue.depth

    @property
    def facts(self) -> Mapping[str, str]:
        """What the IR says about itself, such as `weights_are`; empty for a foreign one."""
        return self._queue.facts

    def matte(self, src: Pixels, bgr: Pixels) -> Matte:
        """The matte of the frame `src` before the clean plate `bgr`.

        Both H x W x 3 uint8 RGB of the same size.  Returns alpha H x W and foreground H x W x 3.
        Raises FrameError for arrays of another kind, or of different sizes.
        """
        ready = self.prepared(src, bgr)
        return self._brought_back(ready, self._infer(ready))

    def stream(self, pairs: Iterable[Pair]) -> Generator[Matte, None, None]:
        """The mattes of (src, bgr) pairs in their order, with several in flight.

        Pairs are drawn as they are needed: about twice as many as there are requests are held.
        An array must not be changed before its matte came out.  Raises as `matte`, and whatever
        `pairs` raises, after the mattes before it.
        """
        return self.through(pairs, lambda pair: self.prepared(*pair), lambda _, matte: matte)

    async def stream_async(
        self, pairs: Iterable[Pair] | AsyncIterable[Pair]
    ) -> AsyncGenerator[Matte, None]:
        """As `stream`, for an event loop, which it does not block."""
        loop = asyncio.get_running_loop()
        coming: deque[asyncio.Future[Matte]] = deque()
        threads = ThreadPoolExecutor(self.depth + 1, "matting")
        try:
            async for src, bgr in _drawn(pairs):
                coming.append(loop.run_in_executor(threads, self.matte, src, bgr))
                while len(coming) > self.depth or (coming and coming[0].done()):
                    yield await coming.popleft()
            while coming:
                yield await coming.popleft()
        finally:
            for future in coming:
                future.cancel()
            threads.shutdown(wait=False, cancel_futures=True)

    def through(
        self,
        items: Iterable[Item],
        read: Callable[[Item], Prepared],
        finish: Callable[[Item, Matte], Outcome],
    ) -> Generator[Outcome, None, None]:
        """Outcomes in the order of `items`; `read` and `finish` run in threads beside inference.

        What drawing an item, or `read`, raises comes out in its place: after the outcomes before.
        """

        def got(item: Item | _Fault) -> Prepared | Settled[Outcome | _Fault]:
            if isinstance(item, _Fault):
                return Settled(item)
            try:
                return read(item)
            except Exception as error:  # noqa: BLE001 - it is raised below
                return Settled(_Fault(error))

        def finished(item: Item | _Fault, ready: Prepared, found: Prediction) -> Outcome | _Fault:
            assert not isinstance(item, _Fault)
            return finish(item, self._brought_back(ready, found))

        with closing(overlapped(_to_the_fault(items), got, self._queue, finished)) as outcomes:
            for outcome in outcomes:
                if isinstance(outcome, _Fault):
                    raise outcome.error
                yield outcome

    def fit(self, size: Size) -> Fit:
        """How pictures of that width and height stand in the model's."""
        return Fit(size, self.size)

    def prepared(self, src: Pixels, bgr: Pixels) -> Prepared:
        """The pair as the model takes it.  Raises FrameError as `matte`."""
        for name, picture in (("src", src), ("bgr", bgr)):
            _require_picture(name, picture)
        if src.shape != bgr.shape:
            raise FrameError(
                f"bgr: the plate is {bgr.shape[1]}x{bgr.shape[0]}, the frame "
                f"{src.shape[1]}x{src.shape[0]}",
                hint="Take both with the same camera settings.",
            )
        fit = self.fit((src.shape[1], src.shape[0]))
        return Prepared(fit.into(src), fit.into(bgr), src, fit)

    def close(self) -> None:
        """Wait for what is under way."""
        self._queue.close()

    def __enter__(self) -> Matting:  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _infer(self, ready: Prepared) -> Prediction:
        return self._queue.wait(self._queue.submit(ready.src, ready.bgr))

    @staticmethod
    def _brought_back(ready: Prepared, found: Prediction) -> Matte:
        fit = ready.fit
        foreground = fit.foreground(found.fgr, ready.src, ready.whole)
        if foreground.dtype != np.uint8:
            foreground = np.ascontiguousarray(foreground)
        return Matte(fit.alpha(found.pha), foreground, found.seconds)


@dataclass(frozen=True)
class _Fault:
    error: Exception


def _to_the_fault(items: Iterable[Item]) -> Generator[Item | _Fault, None, None]:
    try:
        yield from items
    except Exception as error:  # noqa: BLE001 - it is raised in its place
        yield _Fault(error)


def _require_picture(name: str, picture: object) -> None:
    if isinstance(picture, np.ndarray):
        kind = f"{'x'.join(map(str, picture.shape))} {picture.dtype}"
        rgb = picture.ndim == 3 and picture.shape[2] == 3 and picture.size  # noqa: PLR2004
        if rgb and picture.dtype == np.uint8:
            return
    else:
        kind = type(picture).__name__
    raise FrameError(f"{name}: expected an array H x W x 3 of uint8 (RGB), got {kind}")


async def _drawn(pairs: Iterable[Pair] | AsyncIterable[Pair]) -> AsyncGenerator[Pair, None]:
    if isinstance(pairs, AsyncIterable):
        async for pair in pairs:
            yield pair
        return
    for pair in pairs:
        yield pair
