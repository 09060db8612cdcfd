"""A video file as a source of frames, through PyAV."""

from __future__ import annotations

from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import Any

from toolchain.errors import FrameError
from toolchain.run.extras import CODING_THREADS, load_pyav
from toolchain.run.source import SourceFrame, SourceKind
from toolchain.run.video_colour import VideoConverter, describe_colour, get_aspect

ATTACHED_PICTURE = 0x400  # AV_DISPOSITION_ATTACHED_PIC
FULL_RANGE = 2  # AVCOL_RANGE_JPEG


class VideoSource:
    """The film of a file, upright, in display order; a cover is no film.

    Args:
        path: The video file.
        square: Whether to scale frames to square pixels.

    Raises:
        FrameError: The file cannot be opened as a video.
    """

    kind: SourceKind = "video"

    def __init__(self, path: Path, *, square: bool = False) -> None:
        self._path = path
        self._square = square
        self.label = str(path)
        with self._open() as container:
            stream = self._choose_stream(container)
            self.rate: Fraction | None = stream.average_rate or stream.guessed_rate
            self.count = stream.frames or self._estimate_count(container)
            self.audio = path if container.streams.audio else None
            self.notes = self._describe(stream)

    def frames(self, *, skip_bad: bool = False) -> Generator[SourceFrame, None, None]:
        """See `Source.frames`. A frame that the decoder reports as damaged cannot be read."""
        number = 0
        with self._open() as container:
            stream = self._choose_stream(container)
            aspect = get_aspect(stream.sample_aspect_ratio)
            converter = VideoConverter(aspect, square=self._square)
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
                pixels, aspect = converter.convert(frame)
                time = self._get_time(frame, number, container)
                yield SourceFrame(f"{number:06}", pixels, time, aspect)
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

    def _choose_stream(self, container: Any) -> Any:
        """Choose as players do: no cover, else the stream that FFmpeg finds best."""
        films = [
            stream
            for stream in container.streams.video
            if not int(stream.disposition) & ATTACHED_PICTURE
            and stream.codec_context is not None  # None: of an unknown codec
        ]
        if not films:
            raise FrameError(f"{self._path}: contains no video stream", path=self._path)
        best = container.streams.best("video")
        return next((stream for stream in films if stream == best), films[0])

    def _describe(self, stream: Any) -> list[str]:
        context = stream.codec_context
        notes = []
        if colour := describe_colour(context.color_trc, context.color_primaries):
            notes.append(f"{self._path}: {colour} is converted to BT.709 with 8 bits.")
        elif context.format is not None and (bits := context.format.components[0].bits) > 8:  # noqa: PLR2004
            notes.append(f"{self._path}: {bits} bits per channel are reduced to 8.")
        if context.color_range == FULL_RANGE:
            notes.append(f"{self._path}: full range; a video is written with limited range.")
        aspect = get_aspect(stream.sample_aspect_ratio)
        if aspect != 1 and self._square:
            notes.append(
                f"{self._path}: pixels with the aspect ratio {aspect.numerator}:"
                f"{aspect.denominator} are scaled to square ones."
            )
        return notes

    def _estimate_count(self, container: Any) -> int | None:
        if container.duration is None or not self.rate:
            return None
        return round(Fraction(container.duration, load_pyav().time_base) * self.rate)

    def _get_time(self, frame: Any, number: int, container: Any) -> Fraction | None:
        if (
            container.format.name == "avi" and self.rate
        ):  # states no times, and the rate is constant
            return number / self.rate
        if frame.pts is None:
            return None
        start = Fraction(container.start_time or 0, load_pyav().time_base)
        time: Fraction = frame.pts * frame.time_base - start
        return max(Fraction(0), time)

    def _open(self) -> Any:
        try:
            return load_pyav().open(str(self._path))
        # Base classes of most of PyAV's own errors; that of a truncated file has another one.
        except (OSError, ValueError, EOFError) as error:
            raise FrameError(
                f"{self._path}: cannot be opened as a video: {getattr(error, 'strerror', error)}",
                hint="The file may be truncated, or not a video.",
                path=self._path,
            ) from error
