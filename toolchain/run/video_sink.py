"""A video file as a sink, through PyAV: H.264, or VP9 and ProRes 4444 with alpha."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.api.matte import Matte
from toolchain.definitions.arrays import Pixels
from toolchain.errors import FrameError, WorkspaceError
from toolchain.run.audio import AudioTrack
from toolchain.run.backgrounds import BackgroundFill, composite
from toolchain.run.extras import CODING_THREADS, load_pyav
from toolchain.run.mp4 import truncate_after_last_fragment
from toolchain.run.source import Source, SourceFrame
from toolchain.workspace.atomic import os_errors, publish

TIME_BASE = Fraction(1, 90_000)  # seconds per tick
DEFAULT_RATE = Fraction(25)  # frames per second if the source has none
BT709, LIMITED_RANGE = 1, 1  # AVCOL_SPC_BT709 and AVCOL_RANGE_MPEG
# One fragment per second: a truncated file can be played up to its last complete fragment. Closing
# the file turns it into an MP4 without fragments.
FRAGMENTED = {
    "movflags": "+frag_keyframe+default_base_moof+delay_moov+hybrid_fragmented",
    "frag_duration": "1000000",
}
FRAGMENTED_SUFFIXES = (".mp4", ".m4v", ".mov")


@dataclass(frozen=True)
class Encoding:
    """Settings of an encoder.

    Attributes:
        codec: FFmpeg's name of the encoder.
        pixel_format: FFmpeg's name of the pixel format.
        options: Options of the encoder.
    """

    codec: str
    pixel_format: str
    options: dict[str, str]

    @property
    def needs_even_sides(self) -> bool:
        """Whether width and height must be even."""
        return self is H264

    @property
    def keeps_aspect(self) -> bool:
        """Whether the file states the aspect ratio of pixels."""
        return self in (H264, PRORES)


H264 = Encoding("libx264", "yuv420p", {"crf": "18", "preset": "veryfast"})
VP9_OPTIONS = {
    "crf": "24",
    "b": "0",
    "deadline": "realtime",
    "cpu-used": "6",
    "row-mt": "1",
    "auto-alt-ref": "0",  # alpha cannot be encoded with it
}
VP9 = Encoding("libvpx-vp9", "yuv420p", VP9_OPTIONS)
ALPHA_VP9 = Encoding("libvpx-vp9", "yuva420p", VP9_OPTIONS)
PRORES_OPTIONS = {"profile": "4444", "alpha_bits": "16", "vendor": "apl0"}
PRORES = Encoding("prores_ks", "yuva444p10le", PRORES_OPTIONS)


def choose_encoding(suffix: str, *, transparent: bool) -> Encoding:
    """Choose the encoding for a file suffix in lower case, with or without alpha."""
    if suffix == ".webm":
        return ALPHA_VP9 if transparent else VP9
    if transparent:
        return PRORES if suffix == ".mov" else ALPHA_VP9
    return H264


def get_part(target: Path) -> Path:
    """Return the file that is written while `target` is incomplete."""
    return target.with_name(f"{target.stem}.part{target.suffix}")


class VideoSink:
    """A video file, written to `NAME.part.SUFFIX` first.

    A complete file replaces the target. A truncated one does so only if the target does not exist;
    else it keeps its name. It can be played up to its last complete second.

    Args:
        target: The video file.
        source: Source of the frames, for rate and audio.
        transparent: Whether to encode alpha.
        note: Shows a line to the user.
    """

    def __init__(
        self, target: Path, source: Source, *, transparent: bool, note: Callable[[str], None]
    ) -> None:
        self._note = note
        self._is_padding_noted = False
        self._target = target
        self._part = get_part(target)
        self._source = source
        suffix = target.suffix.lower()
        self._encoding = choose_encoding(suffix, transparent=transparent)
        self._muxer_options = FRAGMENTED if suffix in FRAGMENTED_SUFFIXES else {}
        self._container: Any = None
        self._stream: Any = None
        self._audio: AudioTrack | None = None
        self._size = (0, 0)
        self._last_pts = -1
        self._end = Fraction(0)
        self._count = 0
        self._first_dts = 0
        self._held: Any = None  # the last packet, whose duration is known at the end
        self._written: Path | None = None
        self._rate = source.rate or DEFAULT_RATE

    def encode(
        self, frame: SourceFrame, matte: Matte, fill: BackgroundFill
    ) -> tuple[SourceFrame, Any]:
        """See `Sink.encode`. Converts the result to the pixel format of the encoder."""
        pixel_format = self._encoding.pixel_format
        pixels = composite(matte, fill)
        if self._encoding.needs_even_sides:
            pixels = self._pad_to_even(pixels)
        video_frame = _to_video_frame(pixels)
        return frame, video_frame.reformat(format=pixel_format, dst_colorspace="ITU709")

    def write(self, encoded: tuple[SourceFrame, Any]) -> None:
        """See `Sink.write`.

        Args:
            encoded: What `encode` returned.

        Raises:
            FrameError: The frame differs in size from the first one.
            WorkspaceError: The file cannot be written.
        """
        frame, video_frame = encoded
        size = video_frame.width, video_frame.height
        with os_errors(self._part, "write"):
            if self._container is None:
                self._open(size, frame.aspect)
            if size != self._size:
                raise FrameError(
                    f"{self._source.label}: frame {frame.name} is {size[0]}x{size[1]}, the video "
                    f"is {self._size[0]}x{self._size[1]}",
                    hint="Write frames of different sizes to a folder.",
                )
            time = self._count / self._rate if frame.time is None else frame.time
            video_frame.pts = max(self._last_pts + 1, round(time / TIME_BASE))
            video_frame.time_base = TIME_BASE
            video_frame.duration = round(1 / self._rate / TIME_BASE)
            video_frame.colorspace, video_frame.color_range = BT709, LIMITED_RANGE
            self._end = time + 1 / self._rate
            self._last_pts = video_frame.pts
            self._count += 1
            if self._audio is not None:
                self._audio.mux_until(time)
            self._mux(self._stream.encode(video_frame))

    def close(self, *, complete: bool) -> Path | None:
        """See `Sink.close`.

        Args:
            complete: Whether all results were written.

        Returns:
            Path of the video, None if nothing was written.

        Raises:
            WorkspaceError: The file cannot be written, and `complete` is set.
        """
        if self._container is None:
            return self._written
        container, self._container = self._container, None
        try:
            with os_errors(self._part, "write"):
                if self._audio is not None:
                    self._audio.mux_until(self._end)
                self._mux(self._stream.encode(None), container)
                self._mux_last(container)
                container.close()
        except BaseException as error:
            with contextlib.suppress(OSError, ValueError):  # base classes of PyAV's own errors
                container.close()
            self._written = self._publish(complete=False)
            # After a full disk a packet is missing, which the muxer rejects as invalid.
            if complete or not isinstance(error, (WorkspaceError, ValueError)):
                raise
        else:
            self._written = self._publish(complete=complete)
        finally:
            if self._audio is not None:
                self._audio.close()
        return self._written

    def _pad_to_even(self, pixels: Pixels) -> Pixels:
        """Repeat the last row and column, as subsampled chroma needs even sides."""
        height, width = pixels.shape[:2]
        rows, columns = height % 2, width % 2
        if not (rows or columns):
            return pixels
        if not self._is_padding_noted:
            self._is_padding_noted = True
            self._note(
                f"The video is {width + columns}x{height + rows} instead of {width}x{height}, as "
                "H.264 needs even sides; the last row or column is repeated."
            )
        return np.pad(pixels, ((0, rows), (0, columns), (0, 0)), mode="edge")

    def _mux(self, packets: list[Any], container: Any = None) -> None:
        for packet in packets:
            held, self._held = self._held, packet
            if held is None:
                self._first_dts = packet.dts
            else:
                (container or self._container).mux(held)

    def _mux_last(self, container: Any) -> None:
        """Mux the last packet, with the duration that makes the length of the track right.

        MP4 states the length in decoding times, and the last packet in the order of decoding is
        seldom the last frame.
        """
        if self._held is None:
            return
        if self._muxer_options:
            end = round(self._end / self._held.time_base) + min(0, self._first_dts)
            self._held.duration = max(1, end - self._held.dts)
        container.mux(self._held)

    def _publish(self, *, complete: bool) -> Path | None:
        if not complete and self._muxer_options:
            with contextlib.suppress(OSError):
                truncate_after_last_fragment(self._part)
        if not self._part.exists() or not self._part.stat().st_size:
            self._part.unlink(missing_ok=True)
            return None
        if complete or not self._target.exists():
            with os_errors(self._target, "write"):
                publish(self._part, self._target)
            return self._target
        return self._part

    def _open(self, size: tuple[int, int], aspect: Fraction) -> None:
        self._part.parent.mkdir(parents=True, exist_ok=True)
        self._part.unlink(missing_ok=True)
        self._container = load_pyav().open(str(self._part), "w", options=self._muxer_options)
        rate = self._rate.limit_denominator(1001)
        self._stream = self._container.add_stream(self._encoding.codec, rate=rate)
        context = self._stream.codec_context
        context.width, context.height = self._size = size
        context.pix_fmt = self._encoding.pixel_format
        context.options = self._encoding.options
        context.sample_aspect_ratio = aspect
        context.time_base = TIME_BASE
        context.thread_type, context.thread_count = "AUTO", CODING_THREADS
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED_RANGE
        if self._source.audio is not None:
            suffix = self._target.suffix.lower()
            self._audio = AudioTrack(self._source.audio, self._container, suffix, self._note)


def _to_video_frame(pixels: Pixels) -> Any:
    """Wrap H x W x 4 RGBA, or H x W x 3 RGB, whose memory is usually planar, in a PyAV frame."""
    if pixels.shape[2] == 4:  # noqa: PLR2004
        return load_pyav().VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgba")
    height, width = pixels.shape[:2]
    frame = load_pyav().VideoFrame(width, height, "gbrp")
    for plane, channel in zip(frame.planes, (1, 2, 0), strict=True):
        lines = np.frombuffer(plane, np.uint8).reshape(height, plane.line_size)
        lines[:, :width] = pixels[..., channel]
    return frame
