"""Written videos: length, size, aspect ratio and sound."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.clips import RATE, make_walk, read_clip, read_envelope, write_clip
from toolchain.api.matte import Matte
from toolchain.run.audio import AudioTrack
from toolchain.run.source import SourceFrame
from toolchain.run.video_sink import VideoSink
from toolchain.run.video_source import VideoSource

COUNT = 25


def copy_clip(source: Path, target: Path, count: int | None = None) -> list[str]:
    """Write the frames of a clip again, as the run does, and return the notes."""
    notes: list[str] = []
    clip = VideoSource(source)
    sink = VideoSink(target, clip, transparent=False, note=notes.append)
    for number, frame in enumerate(clip.frames()):
        if number == count:
            break
        alpha = np.full(frame.pixels.shape[:2], 255, np.uint8)
        sink.write(sink.encode(frame, Matte(alpha, frame.pixels), (0, 0, 0)))
    assert sink.close(complete=True) == target
    return notes


def get_length(path: Path) -> float:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if stream.duration:
            return float(stream.duration * stream.time_base)
        return container.duration / 1e6


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_the_last_frame_of_a_variable_rate_is_shown(tmp_path: Path, suffix: str) -> None:
    """The track is as long as the last frame's time, though that frame is decoded early."""
    times = [Fraction(t, 1000) for t in (0, 40, 200, 240, 500, 1500)]
    source = write_clip(tmp_path / "in.mkv", make_walk(6)[0], times=times)
    copy_clip(source, tmp_path / f"out{suffix}")
    found = read_clip(tmp_path / f"out{suffix}")[1]
    assert [round(float(time), 2) for time in found] == [round(float(t), 2) for t in times]
    assert 1.5 < get_length(tmp_path / f"out{suffix}") < 1.8


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_the_length_of_a_constant_rate_is_exact(tmp_path: Path, suffix: str) -> None:
    """COUNT frames last COUNT / RATE seconds."""
    source = write_clip(tmp_path / "in.mp4", make_walk(COUNT)[0])
    copy_clip(source, tmp_path / f"out{suffix}")
    assert get_length(tmp_path / f"out{suffix}") == pytest.approx(COUNT / RATE, abs=1e-4)


def test_no_options_are_reported_as_unused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Options of MP4 are not given to other containers."""
    source = write_clip(tmp_path / "in.mp4", make_walk(3)[0])
    for suffix in (".mp4", ".mkv", ".webm"):
        copy_clip(source, tmp_path / f"out{suffix}")
    assert "not used" not in caplog.text + "".join(capfd.readouterr())


def test_odd_sides(tmp_path: Path) -> None:
    """H.264 gets even sides, which is reported; VP9 keeps the size."""
    frame = make_walk(1)[0][0][:99, :151]
    for suffix, size in ((".mp4", (152, 100)), (".webm", (151, 99))):
        notes: list[str] = []
        clip = write_clip(tmp_path / "in.mp4", make_walk(1)[0])
        sink = VideoSink(
            tmp_path / f"o{suffix}", VideoSource(clip), transparent=False, note=notes.append
        )
        matte = Matte(np.full((99, 151), 255, np.uint8), frame)
        for number in range(2):
            sink.write(sink.encode(SourceFrame(str(number), frame), matte, (0, 0, 0)))
        sink.close(complete=True)
        found = read_clip(tmp_path / f"o{suffix}")[0]
        assert found[0].shape[1::-1] == size
        expected = ["The video is 152x100 instead of 151x99"] if suffix == ".mp4" else []
        assert [note.split(", as")[0] for note in notes] == expected


def test_the_aspect_ratio_is_kept(tmp_path: Path) -> None:
    """H.264 states the aspect ratio of its pixels."""
    clip = VideoSource(write_clip(tmp_path / "in.mp4", make_walk(1)[0]))
    sink = VideoSink(tmp_path / "out.mp4", clip, transparent=False, note=print)
    pixels = make_walk(1)[0][0]
    frame = SourceFrame("0", pixels, aspect=Fraction(64, 45))
    matte = Matte(np.full(pixels.shape[:2], 255, np.uint8), pixels)
    sink.write(sink.encode(frame, matte, (0, 0, 0)))
    sink.close(complete=True)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(64, 45)


@pytest.mark.parametrize("output", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize(
    ("source", "codec"), [(".ts", "aac"), (".avi", "libmp3lame"), (".mkv", "libmp3lame")]
)
def test_sound_of_every_container_is_kept(
    tmp_path: Path, source: str, codec: str, output: str
) -> None:
    """The sound has the same envelope, in step, also from containers without headers or times."""
    clip = write_clip(tmp_path / f"in{source}", make_walk(20)[0] * 2, sound=codec)
    copy_clip(clip, tmp_path / f"out{output}")
    written, original = read_envelope(tmp_path / f"out{output}"), read_envelope(clip)
    length = min(len(written), len(original)) - 1
    assert length >= 40 / RATE * 20 - 3
    assert np.corrcoef(written[:length], original[:length])[0, 1] > 0.9


@pytest.mark.parametrize("output", [".mp4", ".webm"])
def test_damaged_sound_is_skipped_and_reported(tmp_path: Path, output: str) -> None:
    """Damaged packets leave a gap; the rest stays in step, and the count is reported."""
    clip = write_clip(tmp_path / "in.mkv", make_walk(20)[0] * 2, sound="ac3")
    with av.open(str(clip)) as container:
        packets = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    data = clip.read_bytes()
    for packet in packets[12:16]:
        data = data.replace(packet, bytes(len(packet)), 1)  # the tone repeats
    (tmp_path / "bad.mkv").write_bytes(data)
    target = tmp_path / f"out{output}"
    notes = copy_clip(tmp_path / "bad.mkv", target)
    assert len(read_clip(target)[0]) == 40
    assert any("damaged packets of the sound" in note for note in notes)
    if output == ".webm":  # encoded again, with silence in the gap
        written, original = read_envelope(target), read_envelope(clip)
        length = min(len(written), len(original)) - 1
        assert np.corrcoef(written[14:length], original[14:length])[0, 1] > 0.8


def test_sound_is_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the sound that belongs to the written frames is decoded."""
    clip = write_clip(tmp_path / "in.mkv", make_walk(20)[0] * 10, sound="aac")
    decoded = []
    decode = AudioTrack._decode

    def count(self: AudioTrack) -> object:
        for frame in decode(self):
            decoded.append(frame.samples)
            yield frame

    monkeypatch.setattr(AudioTrack, "_decode", count)
    copy_clip(clip, tmp_path / "out.webm", 5)
    assert sum(decoded) < 2 * 48_000  # of eight seconds
