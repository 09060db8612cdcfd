"""Short videos and folders of images for tests: a figure that walks through a room, with audio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image
from scipy import ndimage

from toolchain.frames.foregrounds import draw_foreground
from toolchain.frames.scenes import draw_scene

RATE, SOUND_RATE = 25, 48_000
SIZE = (320, 192)


def make_walk(count: int, size: tuple[int, int] = SIZE) -> tuple[list[np.ndarray], np.ndarray]:
    """Frames, which all differ, and their clean plate, H x W x 3, uint8."""
    random = np.random.default_rng(3)
    room = draw_scene(random, *size)
    alpha, colour = draw_foreground(np.random.default_rng(1), *size)
    frames = []
    for number in range(count):
        moved = ndimage.shift(alpha, (0, 3 * number - 20), order=1)[..., None]
        image = moved * ndimage.shift(colour, (0, 3 * number - 20, 0), order=1, mode="nearest")
        frames.append(to_bytes(image + (1 - moved) * room))
    return frames, to_bytes(room)


def to_bytes(image: np.ndarray) -> np.ndarray:
    return np.asarray(np.rint(np.clip(image, 0, 1) * 255), np.uint8)


def write_clip(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    sound: str | None = None,
    times: Sequence[Fraction] | None = None,
    key_every: int = 12,
) -> Path:
    """Write an H.264 file, optionally with audio (`sound`: its codec) and times of the frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "10", "g": str(key_every)}
        tone = container.add_stream(sound, rate=SOUND_RATE) if sound else None
        if tone is not None:
            tone.codec_context.layout = "mono"
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(times[number] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if tone is not None:
            for frame in make_beeps(len(frames) / RATE):
                container.mux(tone.encode(frame))
            container.mux(tone.encode(None))
    return path


def make_beeps(seconds: float) -> Iterator[Any]:
    """A tone in every other tenth of a second."""
    time = np.arange(round(SOUND_RATE * seconds)) / SOUND_RATE
    wave = 0.3 * np.sin(2 * np.pi * 440 * time) * ((time * 10).astype(int) % 2 == 0)
    samples = (wave * 32767).astype(np.int16)
    for start in range(0, len(samples), 960):
        part = np.ascontiguousarray(samples[None, start : start + 960])
        frame = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
        frame.sample_rate, frame.pts = SOUND_RATE, start
        frame.time_base = Fraction(1, SOUND_RATE)
        yield frame


def write_folder(folder: Path, frames: Sequence[np.ndarray]) -> Path:
    """Write `000.png` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(frames):
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    return folder


def read_clip(path: Path, codec: str | None = None) -> tuple[list[np.ndarray], list[Fraction]]:
    """Read every frame, H x W x 4, and its time.  `codec`: a decoder other than the default."""
    pixels, times = [], []
    source: Any = av.open(str(path))
    with closing(source) as container:
        stream = container.streams.video[0]
        decoder: Any = av.codec.CodecContext.create(codec, "r") if codec else None
        for packet in container.demux(stream):
            for frame in decoder.decode(packet) if decoder else packet.decode():
                pixels.append(frame.to_ndarray(format="rgba"))
                times.append(frame.pts * packet.time_base)
    return pixels, times


def read_envelope(path: Path) -> np.ndarray:
    """Read the mean amplitude of the audio in each twentieth of a second."""
    source: Any = av.open(str(path))
    with closing(source) as container:
        resampler = av.AudioResampler("s16", "mono", SOUND_RATE)
        start = container.streams.audio[0].start_time * container.streams.audio[0].time_base
        start -= Fraction(container.start_time or 0, av.time_base)
        parts = [
            made.to_ndarray()[0]
            for frame in (*container.decode(audio=0), None)
            for made in resampler.resample(frame)
        ]
    lead = np.zeros(max(0, round(float(start) * SOUND_RATE)), np.int16)
    samples = np.concatenate([lead, *parts]).astype(float)
    step = SOUND_RATE // 20
    whole = samples[: len(samples) // step * step].reshape(-1, step)
    return np.asarray(np.abs(whole).mean(1))


def write_camera(path: Path, frames: Sequence[np.ndarray], rate: int) -> Path:
    """Write a .y4m file, which Chromium's fake camera plays in a loop."""
    with av.open(str(path), "w", format="yuv4mpegpipe") as container:
        stream = container.add_stream("wrapped_avframe", rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
            container.mux(stream.encode(frame))
    return path
