"""A video file as a source of frames, through PyAV."""

from __future__ import annotations

from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.definitions.arrays import Pixels
from toolchain.errors import FrameError
from toolchain.run.extras import CODING_THREADS, load_pyav
from toolchain.run.source import SourceFrame, SourceKind

UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
HD_LINES = 720  # from here on players assume BT.709 if the file does not name a colour space


class VideoSource:
    """The first video stream of a file, rotated upright, in display order.

    Args:
        path: The video file.

    Raises:
        FrameError: The file cannot be opened as a video.
    """

    kind: SourceKind = "video"

    def __init__(self, path: Path) -> None:
        self._path = path
        self.label = str(path)
        with self._open() as container:
            video = container.streams.video
            if not video or video[0].codec_context is None:  # None: of an unknown codec
                raise FrameError(f"{path}: contains no video stream", path=path)
            stream = container.streams.video[0]
            self.notes: list[str] = []
            self.rate: Fraction | None = stream.average_rate or stream.guessed_rate
            self.count = stream.frames or self._estimate_count(container)
            self.audio = path if container.streams.audio else None

    def frames(self, *, skip_bad: bool = False) -> Generator[SourceFrame, None, None]:
        """See `Source.frames`. A frame that the decoder reports as damaged cannot be read."""
        number = 0
        with self._open() as container:
            stream = container.streams.video[0]
            stream.thread_type, stream.codec_context.thread_count = "AUTO", CODING_THREADS
            for frame in self._decode(container, stream):
                if frame is None or frame.is_corrupt:
                    if skip_bad:
                        continue
                    raise FrameError(
                        f"{self._path}: frame {number} is damaged and cannot be decoded",
                        hint="Repair the file, or skip damaged frames with --skip-bad.",
                        path=self._path,
                    )
                yield SourceFrame(f"{number:06}", _to_rgb(frame), _get_time(frame, container))
                number += 1
        if not number:
            raise FrameError(f"{self._path}: contains no frame", path=self._path)

    @staticmethod
    def _decode(container: Any, stream: Any) -> Generator[Any, None, None]:
        """Yield every frame; None for a packet that could not be decoded."""
        decoding_error = load_pyav().error.FFmpegError
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
                frames = packet.decode() if packet is not None else []
            except decoding_error:
                packet, frames = (), [None]
            if packet is None:
                return
            yield from frames

    def _estimate_count(self, container: Any) -> int | None:
        if container.duration is None or not self.rate:
            return None
        return round(Fraction(container.duration, load_pyav().time_base) * self.rate)

    def _open(self) -> Any:
        try:
            return load_pyav().open(str(self._path))
        except (OSError, ValueError) as error:  # base classes of PyAV's own errors
            raise FrameError(
                f"{self._path}: cannot be opened as a video: {getattr(error, 'strerror', error)}",
                hint="The file may be truncated, or not a video.",
                path=self._path,
            ) from error


def _to_rgb(frame: Any) -> Pixels:
    matrix = None
    if frame.colorspace == UNSPECIFIED:
        matrix = "ITU709" if frame.height >= HD_LINES else "ITU601"
    pixels = frame.reformat(format="rgb24", src_colorspace=matrix).to_ndarray()
    turns = round(frame.rotation / 90)  # counter-clockwise, from the metadata of phones
    return np.ascontiguousarray(np.rot90(pixels, turns) if turns else pixels)


def _get_time(frame: Any, container: Any) -> Fraction | None:
    if frame.pts is None:
        return None
    start = Fraction(container.start_time or 0, load_pyav().time_base)
    time: Fraction = frame.pts * frame.time_base - start
    return max(Fraction(0), time)
