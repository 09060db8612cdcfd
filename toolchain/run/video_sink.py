"""A video file as a sink, by PyAV: H.264, or VP9 and ProRes 4444 with alpha; the sound kept."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.api.matte import Matte
from toolchain.definitions.arrays import Pixels
from toolchain.errors import FrameError, WorkspaceError
from toolchain.run.audio import Sound
from toolchain.run.backgrounds import Behind
from toolchain.run.extras import CODING_THREADS, video
from toolchain.run.mp4 import trim
from toolchain.run.sinks import shown
from toolchain.run.sources import Shot, Source
from toolchain.workspace.atomic import os_errors, publish

TICKS = 90_000  # of the clock, a second
PICTURES_RATE = Fraction(25)  # frames a second where the source has none
BT709 = 1
# Whole fragments every second: a file that was cut off can be played up to there.  At its good
# end it becomes a plain one.
FRAGMENTS = {
    "movflags": "+frag_keyframe+default_base_moof+delay_moov+hybrid_fragmented",
    "frag_duration": "1000000",
}


@dataclass(frozen=True)
class Encoding:
    """How a kind of file is written."""

    codec: str
    pixels: str
    options: dict[str, str]
    muxer: dict[str, str]


H264 = Encoding("libx264", "yuv420p", {"crf": "18", "preset": "veryfast"}, FRAGMENTS)
VP9_OPTIONS = {
    "crf": "24",
    "b": "0",
    "deadline": "realtime",
    "cpu-used": "6",
    "row-mt": "1",
    "auto-alt-ref": "0",  # alpha can't be encoded with it
}
VP9 = Encoding("libvpx-vp9", "yuv420p", VP9_OPTIONS, {})
CLEAR_VP9 = Encoding("libvpx-vp9", "yuva420p", VP9_OPTIONS, {})
PRORES_OPTIONS = {"profile": "4444", "alpha_bits": "16", "vendor": "apl0"}
PRORES = Encoding("prores_ks", "yuva444p10le", PRORES_OPTIONS, FRAGMENTS)


def encoding(suffix: str, *, transparent: bool) -> Encoding:
    """How a file with that suffix is written."""
    if suffix == ".webm":
        return CLEAR_VP9 if transparent else VP9
    if transparent:
        return PRORES if suffix == ".mov" else CLEAR_VP9
    return H264


class EncodedVideo:
    """Written beside as `NAME.part.SUFFIX`, which can be played up to the last whole second.

    A complete one takes the target's place.  One that was cut short does so only where nothing
    was before; else it stays beside.
    """

    def __init__(self, target: Path, source: Source, *, transparent: bool) -> None:
        self._target = target
        self._part = target.with_name(f"{target.stem}.part{target.suffix}")
        self._source = source
        self._how = encoding(target.suffix.lower(), transparent=transparent)
        self._container: Any = None
        self._stream: Any = None
        self._sound: Sound | None = None
        self._size = (0, 0)
        self._last = -1
        self._end = Fraction(0)
        self._frames = 0
        self._left: Path | None = None
        self._rate = source.rate or PICTURES_RATE

    def made(self, shot: Shot, matte: Matte, behind: Behind) -> tuple[Shot, Any]:
        """See `Sink.made`: a frame in the encoder's own pixels."""
        frame = _frame(_even(shown(matte, behind), self._how.pixels))
        return shot, frame.reformat(format=self._how.pixels, dst_colorspace="ITU709")

    def add(self, made: tuple[Shot, Any]) -> None:
        """See `Sink.add`.  Raises FrameError for a frame of another size than the first."""
        shot, frame = made
        size = frame.width, frame.height
        with os_errors(self._part, "write"):
            if self._container is None:
                self._open(size)
            if size != self._size:
                raise FrameError(
                    f"{self._source.label}: frame {shot.name} is {size[0]}x{size[1]}, the video "
                    f"{self._size[0]}x{self._size[1]}",
                    hint="Frames of several sizes can go into a folder.",
                )
            time = self._frames / self._rate if shot.time is None else shot.time
            frame.pts = max(self._last + 1, round(time * TICKS))
            frame.time_base = Fraction(1, TICKS)
            frame.duration = round(TICKS / self._rate)
            self._end = time + 1 / self._rate
            frame.colorspace, frame.color_range = BT709, 1
            self._last = frame.pts
            self._frames += 1
            if self._sound is not None:
                self._sound.up_to(time)
            self._container.mux(self._stream.encode(frame))

    def close(self, *, complete: bool) -> Path | None:
        """See `Sink.close`.  Raises WorkspaceError only where it should have become complete."""
        if self._container is None:
            return self._left
        container, self._container = self._container, None
        try:
            with os_errors(self._part, "write"):
                if self._sound is not None:
                    self._sound.up_to(self._end)
                container.mux(self._stream.encode(None))
                container.close()
        except BaseException as error:
            with contextlib.suppress(OSError):
                container.close()
            self._left = self._leave(complete=False)
            if complete or not isinstance(error, WorkspaceError):
                raise
        else:
            self._left = self._leave(complete=complete)
        finally:
            if self._sound is not None:
                self._sound.finish()
        return self._left

    def _leave(self, *, complete: bool) -> Path | None:
        if not complete and self._how.muxer is FRAGMENTS:
            with contextlib.suppress(OSError):
                trim(self._part)
        if not self._part.exists() or not self._part.stat().st_size:
            self._part.unlink(missing_ok=True)
            return None
        if complete or not self._target.exists():
            with os_errors(self._target, "write"):
                publish(self._part, self._target)
            return self._target
        return self._part

    def _open(self, size: tuple[int, int]) -> None:
        self._part.parent.mkdir(parents=True, exist_ok=True)
        self._part.unlink(missing_ok=True)
        self._container = video().open(str(self._part), "w", options=self._how.muxer)
        rate = self._rate.limit_denominator(1001)
        self._stream = self._container.add_stream(self._how.codec, rate=rate)
        context = self._stream.codec_context
        context.width, context.height = self._size = size
        context.pix_fmt = self._how.pixels
        context.options = self._how.options
        context.time_base = Fraction(1, TICKS)
        context.thread_type, context.thread_count = "AUTO", CODING_THREADS
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = 1
        if self._source.sound is not None:
            self._sound = Sound(self._source.sound, self._container, self._target.suffix.lower())


def _frame(pixels: Pixels) -> Any:
    """H x W x 4 RGBA, or H x W x 3 RGB, which goes in by planes: that is how it mostly lies."""
    if pixels.shape[2] == 4:  # noqa: PLR2004
        return video().VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgba")
    height, width = pixels.shape[:2]
    frame = video().VideoFrame(width, height, "gbrp")
    for plane, channel in zip(frame.planes, (1, 2, 0), strict=True):
        lines = np.frombuffer(plane, np.uint8).reshape(height, plane.line_size)
        lines[:, :width] = pixels[..., channel]
    return frame


def _even(pixels: Pixels, kind: str) -> Pixels:
    """With sides that halve chroma can be taken of: the last row and column twice if need be."""
    rows, columns = (side % 2 for side in pixels.shape[:2])
    if "420" not in kind or not (rows or columns):
        return pixels
    return np.pad(pixels, ((0, rows), (0, columns), (0, 0)), mode="edge")
