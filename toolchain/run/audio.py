"""Transfer of a video's audio into another video."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Generator
from fractions import Fraction
from pathlib import Path
from typing import Any

from toolchain.errors import FrameError
from toolchain.run.extras import load_pyav

COPIED_CODECS = {
    ".mp4": ("aac", "mp3", "ac3"),
    ".m4v": ("aac", "mp3", "ac3"),
    ".mov": ("aac", "mp3", "ac3", "pcm_s16le"),
    ".mkv": ("aac", "mp3", "ac3", "opus", "vorbis", "flac", "pcm_s16le"),
    ".webm": ("opus", "vorbis"),
}
# Packets of other containers, such as MPEG-TS and AVI, lack headers or times that these need.
COPIED_CONTAINERS = {"mov", "mp4", "matroska", "webm"}
ENCODERS = {".webm": "libopus"}  # for other codecs; "aac" in all other containers
SAMPLE_RATE, BIT_RATE = 48_000, 192_000


class AudioTrack:
    """The first audio stream of a file, muxed into another container in step with the video.

    Packets are copied unchanged if the container supports their codec, else encoded again.

    Args:
        path: File to read the audio from.
        container: PyAV container to write to.
        suffix: Suffix of the file that is written.
        note: Shows a line to the user.
    """

    def __init__(
        self, path: Path, container: Any, suffix: str, note: Callable[[str], None]
    ) -> None:
        self._path, self._suffix, self._note = path, suffix, note
        self._damaged = 0  # number of packets
        self._output = container
        self._input = load_pyav().open(str(path))
        self._stream = self._input.streams.audio[0]
        self._start = Fraction(self._input.start_time or 0, load_pyav().time_base)
        is_copied = COPIED_CONTAINERS.intersection(self._input.format.name.split(","))
        if is_copied and self._stream.codec_context.name in COPIED_CODECS[suffix]:
            self._written = container.add_stream_from_template(self._stream)
            self._packets = self._copy()
        else:
            self._written = container.add_stream(ENCODERS.get(suffix, "aac"), rate=SAMPLE_RATE)
            self._written.codec_context.layout = "stereo"
            self._written.codec_context.bit_rate = BIT_RATE
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
            try:
                self._output.mux(packet)
            except ValueError as error:  # the muxer rejects it; a full disk is an OSError
                raise FrameError(
                    f"{self._path}: its sound cannot be written to {self._suffix}: {error}",
                    hint="Write an .mkv file, or a folder of images.",
                    path=self._path,
                ) from error
            self._next = None

    def close(self) -> None:
        """Close the file that the audio is read from."""
        self._packets.close()
        self._input.close()
        if self._damaged:
            self._note(f"{self._path}: {self._damaged} damaged packets of the sound were skipped.")

    def _copy(self) -> Generator[tuple[Fraction, Any], None, None]:
        shift = round(self._start / self._stream.time_base)
        last = None
        for packet in self._demux():
            if packet.dts is None or not self._is_intact(packet):
                continue
            pts, dts = (packet.pts or packet.dts) - shift, packet.dts - shift
            if last is not None and dts <= last:  # muxers need increasing times
                dts = last + 1
            last = packet.dts = dts
            packet.pts = max(pts, dts)
            start = packet.dts * packet.time_base
            packet.stream = self._written
            yield start, packet

    def _encode(self) -> Generator[tuple[Fraction, Any], None, None]:
        graph = None
        for frame in self._decode():
            if frame.pts is not None:
                frame.pts -= round(self._start / frame.time_base)
            if graph is None:
                graph = self._build_graph(frame)
            with contextlib.suppress(*self._errors):  # another layout than before
                graph.push(frame)
            for resampled in self._pull(graph):
                yield from self._with_start(self._written.encode(resampled))
        if graph is not None:
            graph.push(None)
            for resampled in self._pull(graph):
                yield from self._with_start(self._written.encode(resampled))
            yield from self._with_start(self._written.encode(None))

    @property
    def _errors(self) -> tuple[type[BaseException], ...]:
        return (load_pyav().error.FFmpegError,)

    def _demux(self) -> Generator[Any, None, None]:
        packets = self._input.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except self._errors:
                self._damaged += 1
                return
            yield packet

    def _is_intact(self, packet: Any) -> bool:
        """Whether a packet can be decoded. Muxers fail at damaged ones, later and for all."""
        try:
            packet.decode()
        except self._errors:
            self._damaged += 1
            return False
        return True

    def _decode(self) -> Generator[Any, None, None]:
        for packet in self._demux():
            try:
                frames = packet.decode()
            except self._errors:
                self._damaged += 1
                continue
            yield from frames

    def _build_graph(self, frame: Any) -> Any:
        """Convert to the encoder's format; gaps become silence, so that the sound stays in step."""
        context = self._written.codec_context
        graph = load_pyav().filter.Graph()
        chain = [
            graph.add_abuffer(
                sample_rate=frame.sample_rate,
                format=frame.format,
                layout=frame.layout,
                time_base=frame.time_base,
            ),
            graph.add("aresample", **{"async": "1", "osr": str(SAMPLE_RATE)}),
            graph.add(
                "aformat",
                sample_fmts=context.format.name,
                sample_rates=str(SAMPLE_RATE),
                channel_layouts="stereo",
            ),
        ]
        if context.frame_size:
            chain.append(graph.add("asetnsamples", n=str(context.frame_size), p="0"))
        chain.append(graph.add("abuffersink"))
        for one, other in itertools.pairwise(chain):
            one.link_to(other)
        graph.configure()
        return graph

    @staticmethod
    def _pull(graph: Any) -> Generator[Any, None, None]:
        errors = load_pyav().error
        with contextlib.suppress(errors.BlockingIOError, errors.EOFError):
            while True:
                yield graph.pull()

    @staticmethod
    def _with_start(packets: Any) -> Generator[tuple[Fraction, Any], None, None]:
        for packet in packets:
            yield (packet.dts or 0) * packet.time_base, packet
