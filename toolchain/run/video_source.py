"""A video file as a source of frames, by PyAV."""

from __future__ import annotations

from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.definitions.arrays import Pixels
from toolchain.errors import FrameError
from toolchain.run.extras import CODING_THREADS, video
from toolchain.run.sources import Kind, Shot

UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
HD_LINES = 720  # from here on players take BT.709 where a file does not say


class Video:
    """The first video stream of a file, upright, in the order of display."""

    kind: Kind = "video"

    def __init__(self, path: Path) -> None:
        self._path = path
        self.label = str(path)
        with self._opened() as container:
            if not container.streams.video:
                raise FrameError(f"{path}: has no video in it", path=path)
            stream = container.streams.video[0]
            self.rate: Fraction | None = stream.average_rate or stream.guessed_rate
            self.count = stream.frames or self._estimate(container)
            self.sound = path if container.streams.audio else None

    def shots(self, *, skip_bad: bool = False) -> Generator[Shot, None, None]:
        """See `Source.shots`.  A frame that was decoded with damage counts as unreadable."""
        number = 0
        with self._opened() as container:
            stream = container.streams.video[0]
            stream.thread_type, stream.codec_context.thread_count = "AUTO", CODING_THREADS
            for frame in self._frames(container, stream):
                if frame is None or frame.is_corrupt:
                    if skip_bad:
                        continue
                    raise self._bad(number)
                yield Shot(f"{number:06}", _pixels(frame), _seconds(frame, container))
                number += 1
        if not number:
            raise FrameError(f"{self._path}: has no frame in it", path=self._path)

    def _frames(self, container: Any, stream: Any) -> Generator[Any, None, None]:
        """Every frame; None for what could not be decoded."""
        failure = video().error.FFmpegError
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
                frames = packet.decode() if packet is not None else []
            except failure:
                packet, frames = (), [None]
            if packet is None:
                return
            yield from frames

    def _bad(self, number: int) -> FrameError:
        return FrameError(
            f"{self._path}: frame {number} is damaged and can't be decoded",
            hint="Repair the file, or leave such frames out with --skip-bad.",
            path=self._path,
        )

    def _estimate(self, container: Any) -> int | None:
        if container.duration is None or not self.rate:
            return None
        return round(Fraction(container.duration, video().time_base) * self.rate)

    def _opened(self) -> Any:
        try:
            return video().open(str(self._path))
        except (OSError, ValueError) as error:  # PyAV's own errors are among these
            raise FrameError(
                f"{self._path}: can't be opened as a video: {getattr(error, 'strerror', error)}",
                hint="It may be cut off, or no video at all.",
                path=self._path,
            ) from error


def _pixels(frame: Any) -> Pixels:
    matrix = None
    if frame.colorspace == UNSPECIFIED:
        matrix = "ITU709" if frame.height >= HD_LINES else "ITU601"
    pixels = frame.reformat(format="rgb24", src_colorspace=matrix).to_ndarray()
    turns = round(frame.rotation / 90)  # counter-clockwise, as phones note it
    return np.ascontiguousarray(np.rot90(pixels, turns) if turns else pixels)


def _seconds(frame: Any, container: Any) -> Fraction | None:
    if frame.pts is None:
        return None
    start = Fraction(container.start_time or 0, video().time_base)
    time: Fraction = frame.pts * frame.time_base - start
    return max(Fraction(0), time)
