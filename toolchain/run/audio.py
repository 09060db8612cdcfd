"""The sound of a video, carried over into another."""

from __future__ import annotations

from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import Any

from toolchain.run.extras import video

COPIED = {
    ".mp4": ("aac", "mp3", "ac3"),
    ".m4v": ("aac", "mp3", "ac3"),
    ".mov": ("aac", "mp3", "ac3", "pcm_s16le"),
    ".mkv": ("aac", "mp3", "ac3", "opus", "vorbis", "flac", "pcm_s16le"),
    ".webm": ("opus", "vorbis"),
}
ENCODED = {".webm": "libopus"}  # what others than those become; elsewhere aac
RATE = 48_000


class Sound:
    """The first sound of `path`, muxed into `container` as far as the pictures have come.

    Packets are copied as they are where the new file may hold them, else encoded again.
    """

    def __init__(self, path: Path, container: Any, suffix: str) -> None:
        self._out = container
        self._in = video().open(str(path))
        self._stream = self._in.streams.audio[0]
        self._start = Fraction(self._in.start_time or 0, video().time_base)
        name = self._stream.codec_context.name
        self._copied = name in COPIED[suffix]
        if self._copied:
            self._made = container.add_stream_from_template(self._stream)
            self._packets = self._originals()
        else:
            self._made = container.add_stream(ENCODED.get(suffix, "aac"), rate=RATE)
            self._made.codec_context.layout = "stereo"
            self._packets = self._encoded()
        self._next: tuple[Fraction, Any] | None = None
        self._over = False

    def up_to(self, time: Fraction) -> None:
        """Mux what is to be heard before `time`, in seconds."""
        while not self._over:
            if self._next is None:
                self._next = next(self._packets, None)
                if self._next is None:
                    self._over = True
                    return
            when, packet = self._next
            if when >= time:
                return
            self._out.mux(packet)
            self._next = None

    def finish(self) -> None:
        """Let go of the file."""
        self._packets.close()
        self._in.close()

    def _originals(self) -> Generator[tuple[Fraction, Any], None, None]:
        shift = round(self._start / self._stream.time_base)
        for packet in self._in.demux(self._stream):
            if packet.dts is None:
                continue
            packet.pts, packet.dts = (packet.pts or packet.dts) - shift, packet.dts - shift
            when = packet.dts * packet.time_base
            packet.stream = self._made
            yield when, packet

    def _encoded(self) -> Generator[tuple[Fraction, Any], None, None]:
        context = self._made.codec_context
        resampler = video().AudioResampler(context.format, "stereo", RATE, context.frame_size or 0)
        for frame in (*self._in.decode(self._stream), None):
            if frame is not None and frame.pts is not None:
                frame.pts -= round(self._start / frame.time_base)
            for made in resampler.resample(frame):
                yield from self._timed(self._made.encode(made))
        yield from self._timed(self._made.encode(None))

    def _timed(self, packets: Any) -> Generator[tuple[Fraction, Any], None, None]:
        for packet in packets:
            yield (packet.dts or 0) * packet.time_base, packet
