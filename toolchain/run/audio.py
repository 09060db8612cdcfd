"""Transfer of a video's audio into another video."""

from __future__ import annotations

from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import Any

from toolchain.run.extras import load_pyav

COPIED_CODECS = {
    ".mp4": ("aac", "mp3", "ac3"),
    ".m4v": ("aac", "mp3", "ac3"),
    ".mov": ("aac", "mp3", "ac3", "pcm_s16le"),
    ".mkv": ("aac", "mp3", "ac3", "opus", "vorbis", "flac", "pcm_s16le"),
    ".webm": ("opus", "vorbis"),
}
ENCODERS = {".webm": "libopus"}  # for other codecs; "aac" in all other containers
SAMPLE_RATE = 48_000


class AudioTrack:
    """The first audio stream of a file, muxed into another container in step with the video.

    Packets are copied unchanged if the container supports their codec, else encoded again.

    Args:
        path: File to read the audio from.
        container: PyAV container to write to.
        suffix: Suffix of the file that is written.
    """

    def __init__(self, path: Path, container: Any, suffix: str) -> None:
        self._output = container
        self._input = load_pyav().open(str(path))
        self._stream = self._input.streams.audio[0]
        self._start = Fraction(self._input.start_time or 0, load_pyav().time_base)
        if self._stream.codec_context.name in COPIED_CODECS[suffix]:
            self._written = container.add_stream_from_template(self._stream)
            self._packets = self._copy()
        else:
            self._written = container.add_stream(ENCODERS.get(suffix, "aac"), rate=SAMPLE_RATE)
            self._written.codec_context.layout = "stereo"
            self._packets = self._encode()
        self._next: tuple[Fraction, Any] | None = None
        self._is_finished = False

    def mux_until(self, time: Fraction) -> None:
        """Mux all packets that begin before `time`, in seconds."""
        while not self._is_finished:
            if self._next is None:
                self._next = next(self._packets, None)
                if self._next is None:
                    self._is_finished = True
                    return
            start, packet = self._next
            if start >= time:
                return
            self._output.mux(packet)
            self._next = None

    def close(self) -> None:
        """Close the file that the audio is read from."""
        self._packets.close()
        self._input.close()

    def _copy(self) -> Generator[tuple[Fraction, Any], None, None]:
        shift = round(self._start / self._stream.time_base)
        for packet in self._input.demux(self._stream):
            if packet.dts is None:
                continue
            packet.pts, packet.dts = (packet.pts or packet.dts) - shift, packet.dts - shift
            start = packet.dts * packet.time_base
            packet.stream = self._written
            yield start, packet

    def _encode(self) -> Generator[tuple[Fraction, Any], None, None]:
        context = self._written.codec_context
        resampler = load_pyav().AudioResampler(
            context.format, "stereo", SAMPLE_RATE, context.frame_size or 0
        )
        for frame in (*self._input.decode(self._stream), None):
            if frame is not None and frame.pts is not None:
                frame.pts -= round(self._start / frame.time_base)
            for resampled in resampler.resample(frame):
                yield from self._with_start(self._written.encode(resampled))
        yield from self._with_start(self._written.encode(None))

    @staticmethod
    def _with_start(packets: Any) -> Generator[tuple[Fraction, Any], None, None]:
        for packet in packets:
            yield (packet.dts or 0) * packet.time_base, packet
