"""`matting run` end to end: all kinds of sources, outputs and errors."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import toolchain
from tests.support.clips import (
    RATE,
    SIZE,
    make_walk,
    read_clip,
    read_envelope,
    write_clip,
    write_folder,
)
from toolchain.errors import FrameError, ToolchainError, UsageError, WorkspaceError
from toolchain.progress import SilentListener
from toolchain.run.backgrounds import blur_plate, scale_to_cover
from toolchain.run.request import RunRequest
from toolchain.run.runner import run_matting

COUNT = 20


@pytest.fixture(scope="module")
def scene() -> tuple[list[np.ndarray], np.ndarray]:
    return make_walk(COUNT)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, scene: Any) -> Path:
    folder = tmp_path_factory.mktemp("place")
    frames, plate = scene
    write_folder(folder / "frames", frames)
    write_clip(folder / "clip.mp4", frames, sound="aac")
    Image.fromarray(plate).save(folder / "plate.png")
    Image.fromarray(frames[5]).save(folder / "frame.png")
    return folder


@pytest.fixture(scope="module")
def expected(converted: Path, scene: Any) -> list[toolchain.Matte]:
    frames, plate = scene
    with toolchain.Matting(converted, hint="f32", as_bytes=True) as model:
        return list(model.stream((frame, plate) for frame in frames))


def make_request(converted: Path, place: Path, output: Path, **changes: Any) -> RunRequest:
    given: dict[str, Any] = {
        "src": str(place / "frames"),
        "bgr": str(place / "plate.png"),
        "hint": "f32",
    }
    return RunRequest(model=converted, output=output, **{**given, **changes})


def read_images(folder: Path) -> list[np.ndarray]:
    found = []
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as image:
            found.append(np.asarray(image))
    return found


def test_a_folder_becomes_a_folder_of_cutouts(
    converted: Path, place: Path, tmp_path: Path, expected: list[toolchain.Matte]
) -> None:
    """The PNG of each frame has its name, and contains its foreground and alpha bit for bit."""
    result = run_matting(make_request(converted, place, tmp_path / "out"))
    assert (result.frames, result.stopped, result.executed) == (COUNT, False, "f32")
    assert result.written == tmp_path / "out"
    found = read_images(tmp_path / "out")
    assert [path.name for path in sorted((tmp_path / "out").iterdir())][:2] == [
        "000.png",
        "001.png",
    ]
    assert len(found) == COUNT
    for pixels, matte in zip(found, expected, strict=True):
        assert np.array_equal(pixels, matte.cutout())
    assert 0 < result.latency["p50"] <= result.latency["p90"] <= result.latency["p99"]


def test_foreground_and_alpha_are_split(
    converted: Path, place: Path, tmp_path: Path, expected: list[toolchain.Matte]
) -> None:
    """With `split` they are written to two folders."""
    run_matting(make_request(converted, place, tmp_path / "out", split=True, frames=2))
    fgr, pha = (read_images(tmp_path / "out" / kind) for kind in ("fgr", "pha"))
    assert len(fgr) == len(pha) == 2
    assert np.array_equal(fgr[1], expected[1].foreground)
    assert np.array_equal(pha[1], expected[1].alpha)


@pytest.mark.parametrize("background", ["#102030", "image", "blur", "folder"])
def test_every_background(
    converted: Path,
    place: Path,
    tmp_path: Path,
    expected: list[toolchain.Matte],
    scene: Any,
    background: str,
) -> None:
    """The composite equals the matte over that background bit for bit."""
    frames, plate = scene
    noise = np.random.default_rng(1).integers(0, 256, (100, 300, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "image.png")
    text, fills = {
        "#102030": ("#102030", [(16, 32, 48)] * 3),
        "image": (str(tmp_path / "image.png"), [scale_to_cover(noise, SIZE)] * 3),
        "blur": ("blur", [blur_plate(plate)] * 3),
        "folder": (str(place / "frames"), frames[:3]),
    }[background]
    run_matting(make_request(converted, place, tmp_path / "out", background=text, frames=3))
    for number, pixels in enumerate(read_images(tmp_path / "out")):
        assert np.array_equal(pixels, expected[number].over(fills[number]))


def test_a_video_keeps_times_and_audio(
    converted: Path, place: Path, tmp_path: Path, expected: list[toolchain.Matte]
) -> None:
    """An H.264 file has the same number of frames, times and audio; frames match the composites."""
    output = tmp_path / "out.mp4"
    result = run_matting(
        make_request(converted, place, output, src=str(place / "clip.mp4"), background="blue")
    )
    assert result.written == output
    found, times = read_clip(output)
    assert times == [Fraction(number, RATE) for number in range(COUNT)]
    for pixels, matte in zip(found, expected, strict=True):
        difference = np.abs(pixels[..., :3].astype(int) - matte.over((0, 0, 255)))
        assert difference.mean() < 10
        assert np.median(difference) < 4
    written, original = read_envelope(output), read_envelope(place / "clip.mp4")
    length = min(len(written), len(original))
    assert length >= COUNT / RATE * 20 - 2
    assert np.corrcoef(written[:length], original[:length])[0, 1] > 0.98
    assert not (tmp_path / "out.part.mp4").exists()


@pytest.mark.parametrize(("suffix", "codec"), [(".webm", "libvpx-vp9"), (".mov", None)])
def test_transparent_videos_contain_alpha(
    converted: Path,
    place: Path,
    tmp_path: Path,
    expected: list[toolchain.Matte],
    suffix: str,
    codec: str | None,
) -> None:
    """VP9 and ProRes 4444 files contain the alpha of each frame, and the audio."""
    output = tmp_path / f"out{suffix}"
    run_matting(make_request(converted, place, output, src=str(place / "clip.mp4")))
    found, times = read_clip(output, codec)
    assert len(times) == COUNT
    for pixels, matte in zip(found, expected, strict=True):
        assert np.abs(pixels[..., 3].astype(int) - matte.alpha).mean() < 6
    written, original = read_envelope(output), read_envelope(place / "clip.mp4")
    length = min(len(written), len(original))
    assert np.corrcoef(written[:length], original[:length])[0, 1] > 0.95


def test_variable_frame_rates_and_odd_sizes(
    converted: Path, scene: Any, tmp_path: Path, place: Path
) -> None:
    """Frames keep their times; a side of odd length is padded by one pixel."""
    frames, plate = (scene[0][:5], scene[1])
    times = [Fraction(t, 1000) for t in (0, 40, 200, 240, 500)]
    clip = write_clip(tmp_path / "clip.mkv", frames, times=times)
    run_matting(
        make_request(converted, place, tmp_path / "out.mp4", src=str(clip), background="red")
    )
    assert read_clip(tmp_path / "out.mp4")[1] == times
    write_folder(tmp_path / "odd", [frame[:99, :151] for frame in frames])
    Image.fromarray(plate[:99, :151]).save(tmp_path / "odd.png")
    odd = {"src": str(tmp_path / "odd"), "bgr": str(tmp_path / "odd.png"), "background": "red"}
    run_matting(make_request(converted, place, tmp_path / "odd.mp4", **odd))
    assert read_clip(tmp_path / "odd.mp4")[0][0].shape == (100, 152, 4)


def test_one_image(converted: Path, place: Path, tmp_path: Path) -> None:
    """An image is written at its own size, in the format of the output's suffix."""
    for suffix, mode in ((".png", "RGBA"), (".webp", "RGBA"), (".jpg", "RGB"), (".tif", "RGBA")):
        output = tmp_path / f"out{suffix}"
        result = run_matting(make_request(converted, place, output, src=str(place / "frame.png")))
        assert (result.frames, result.written) == (1, output)
        with Image.open(output) as image:
            assert (image.size, image.mode) == (SIZE, mode)


def test_plates_are_matched_by_name_or_order(
    converted: Path, scene: Any, place: Path, tmp_path: Path, expected: list[toolchain.Matte]
) -> None:
    """A folder of plates with the names of the frames, or a video, has one plate per frame."""
    plate = scene[1]
    write_folder(tmp_path / "plates", [plate] * COUNT)
    run_matting(
        make_request(converted, place, tmp_path / "a", bgr=str(tmp_path / "plates"), frames=3)
    )
    assert np.array_equal(read_images(tmp_path / "a")[2], expected[2].cutout())
    clip = write_clip(tmp_path / "plates.mp4", [plate] * 2)
    notes: list[str] = []
    run_matting(
        make_request(converted, place, tmp_path / "b", bgr=str(clip), frames=4), Notes(notes)
    )
    assert len(read_images(tmp_path / "b")) == 4
    assert sum("its last plate is kept" in note for note in notes) == 1
    (tmp_path / "plates" / "001.png").unlink()
    with pytest.raises(FrameError, match="no clean plate for 001") as caught:
        run_matting(make_request(converted, place, tmp_path / "c", bgr=str(tmp_path / "plates")))
    assert "The frames before the error (1) are in" in caught.value.kept


class Notes(SilentListener):
    """A listener that appends notes to a list."""

    def __init__(self, notes: list[str]) -> None:
        self._notes = notes

    def note(self, text: str) -> None:
        self._notes.append(text)


def test_a_plate_of_another_size(converted: Path, place: Path, scene: Any, tmp_path: Path) -> None:
    """A plate of another size is resized with a note; another aspect ratio is an error."""
    Image.fromarray(scene[1]).resize((640, 384)).save(tmp_path / "large.png")
    notes: list[str] = []
    run_matting(
        make_request(converted, place, tmp_path / "out", bgr=str(tmp_path / "large.png")),
        Notes(notes),
    )
    assert sum("640x384, the frame is 320x192; the plate is resized" in note for note in notes) == 1
    Image.fromarray(scene[1]).resize((300, 300)).save(tmp_path / "square.png")
    with pytest.raises(FrameError, match="the clean plate is 300x300, the frame is 320x192"):
        run_matting(
            make_request(converted, place, tmp_path / "none", bgr=str(tmp_path / "square.png"))
        )
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bgr": "missing.png"}, "--bgr missing.png: not found"),
        ({"src": "missing.mp4"}, "--src missing.mp4: not found"),
        (
            {"background": "nocolour"},
            "--background nocolour: neither a colour nor an existing file",
        ),
        ({"background": "0"}, "--background 0: a camera is not supported as background"),
        ({"output": "out.gif"}, "unknown format .gif"),
        ({"output": "out.mp4", "background": "transparent"}, ".mp4 does not support transparency"),
        ({"output": "out.png"}, "one image cannot hold the frames of"),
        ({"output": "out.mp4", "split": True}, "--split writes two folders"),
        ({"split": True, "background": "red"}, "--split and --background cannot be combined"),
    ],
)
def test_invalid_arguments_are_reported_before_anything_is_written(
    converted: Path, place: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    """They are usage errors with a hint."""
    output = tmp_path / changes.pop("output", "out")
    with pytest.raises(UsageError) as caught:
        run_matting(make_request(converted, place, output, **changes))
    assert words in caught.value.message.replace(f"{tmp_path}/", "")
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_an_unreadable_frame_in_a_folder(
    converted: Path, place: Path, scene: Any, tmp_path: Path
) -> None:
    """It is named, and the frames before it are written; with `skip_bad` it is skipped."""
    frames = write_folder(tmp_path / "frames", scene[0])
    (frames / "007.png").write_bytes((frames / "007.png").read_bytes()[:900])
    src = {"src": str(frames)}
    with pytest.raises(FrameError, match=r"007\.png: cannot read the image") as caught:
        run_matting(make_request(converted, place, tmp_path / "out.mp4", background="red", **src))
    assert "The frames before the error (7) are in" in caught.value.kept
    assert len(read_clip(tmp_path / "out.mp4")[0]) == 7
    result = run_matting(make_request(converted, place, tmp_path / "all", skip_bad=True, **src))
    assert result.frames == len(read_images(tmp_path / "all")) == COUNT - 1


def test_a_damaged_video(converted: Path, place: Path, scene: Any, tmp_path: Path) -> None:
    """The error has the frame's number, frames before it are playable, the old output is kept."""
    clip = write_clip(tmp_path / "clip.mkv", scene[0], key_every=1)
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    clip.write_bytes(data)
    output = tmp_path / "out.mp4"
    output.write_bytes(b"a good file")
    with pytest.raises(FrameError, match=r"clip\.mkv: frame \d+ is damaged") as caught:
        run_matting(make_request(converted, place, output, src=str(clip), background="red"))
    finished = int(caught.value.message.split("frame ")[1].split()[0])
    assert 3 < finished < COUNT - 1
    assert output.read_bytes() == b"a good file"
    part = tmp_path / "out.part.mp4"
    assert f"The frames before the error ({finished}) are in {part}" in caught.value.kept
    assert len(read_clip(part)[0]) == finished
    result = run_matting(
        make_request(converted, place, output, src=str(clip), background="red", skip_bad=True)
    )
    assert finished < result.frames < COUNT
    assert len(read_clip(output)[0]) == result.frames


def test_an_invalid_video_is_an_error(converted: Path, place: Path, tmp_path: Path) -> None:
    """A text file, and a video that is truncated before its index, are named in the error."""
    (tmp_path / "notes.mp4").write_text("not a video")
    (tmp_path / "cut.mp4").write_bytes((place / "clip.mp4").read_bytes()[:2000])
    for name in ("notes.mp4", "cut.mp4"):
        with pytest.raises(FrameError, match=f"{name}: cannot be opened as a video"):
            run_matting(
                make_request(converted, place, tmp_path / "out.mp4", src=str(tmp_path / name))
            )


def test_stopping_finishes_the_frames_in_flight(
    converted: Path, place: Path, tmp_path: Path, scene: Any
) -> None:
    """Once the event is set, the file is closed and playable."""
    stop = threading.Event()

    class StopsAtFive(Notes):
        def task(self, label: str, total: float | None = None, unit: str = "") -> Any:
            inner = super().task(label, total, unit)

            class Task:
                def __enter__(self) -> Any:
                    return self

                def __exit__(self, *_: object) -> None:
                    pass

                def reach(self, done: float) -> None:
                    inner.reach(done)
                    if done == 5:
                        stop.set()

            return Task()

    clip = write_clip(tmp_path / "clip.mp4", scene[0] * 5)
    result = run_matting(
        make_request(converted, place, tmp_path / "out.mp4", src=str(clip), background="red"),
        StopsAtFive([]),
        stop,
    )
    assert result.stopped
    assert 5 <= result.frames < 5 * COUNT
    assert result.written == tmp_path / "out.mp4"
    assert len(read_clip(tmp_path / "out.mp4")[0]) == result.frames


def command(converted: Path, place: Path, *more: str | Path) -> list[str]:
    base = [Path(sys.executable).with_name("matting"), "run", "--model", converted]
    base += ["--bgr", place / "plate.png", "--precision-hint", "f32", *more]
    return list(map(str, base))


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX here")
def test_ctrl_c_leaves_a_playable_file(
    converted: Path, place: Path, tmp_path: Path, scene: Any
) -> None:
    """An interrupted command prints the path of the finished frames, with exit code 130."""
    clip = write_clip(tmp_path / "long.mp4", scene[0] * 40)
    output = tmp_path / "out.mp4"
    arguments = command(converted, place, "--src", clip, "-o", output, "--background", "red")
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    part = tmp_path / "out.part.mp4"
    deadline = time.monotonic() + 120
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert stdout.strip() == str(output)
    assert "Stopped early" in stderr
    assert "Traceback" not in stderr
    frames, _ = read_clip(output)
    assert 1 <= len(frames) < 40 * COUNT


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_a_full_disk_leaves_a_playable_file(
    converted: Path, place: Path, tmp_path: Path, scene: Any
) -> None:
    """The command reports it in one sentence; the frames that were written are playable."""
    random = np.random.default_rng(0)
    noisy = [random.integers(0, 256, frame.shape).astype(np.uint8) for frame in scene[0] * 6]
    clip = write_clip(tmp_path / "noise.mp4", noisy)
    output = tmp_path / "out.mp4"
    arguments = command(converted, place, "--src", clip, "-o", output)
    arguments += ["--background", str(clip)]
    limit = 1_500_000
    part = tmp_path / "out.part.mp4"

    def limit_file_size() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        arguments, preexec_fn=limit_file_size, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert f"{part}: cannot write" in done.stderr
    assert "The frames before the error (" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(read_clip(output)[0]) >= RATE  # all but the last second


def test_the_command_prints_its_result(converted: Path, place: Path, tmp_path: Path) -> None:
    """JSON on stdout contains the output, latency percentiles and measurements of the plate."""
    arguments = command(converted, place, "--src", place / "frame.png", "-o", tmp_path / "o.png")
    done = subprocess.run([*arguments, "--json"], capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert result["output"] == str(tmp_path / "o.png")
    assert result["frames"] == 1
    assert set(result["latency_ms"]) == {"p50", "p90", "p99"}
    assert result["plate"]["shift"] == [0.0, 0.0]
    assert "frames/s" in done.stderr


def test_a_missing_extra_is_reported(
    converted: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without PyAV a video is an error whose hint is the command that installs it."""
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ToolchainError, match="Videos need PyAV") as caught:
        run_matting(
            make_request(converted, place, tmp_path / "out.mp4", src=str(place / "clip.mp4"))
        )
    assert "[video]" in caught.value.hint


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(converted: Path, place: Path, tmp_path: Path) -> None:
    """An output folder without write permission is a WorkspaceError."""
    tmp_path.chmod(0o500)
    with pytest.raises(WorkspaceError):
        run_matting(make_request(converted, place, tmp_path / "out"))
