"""`matting run` through and through: every kind of source and output, and every kind of trouble."""

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
    envelope,
    read_clip,
    walk,
    write_clip,
    write_folder,
)
from toolchain.errors import FrameError, ToolchainError, UsageError, WorkspaceError
from toolchain.run.runner import RunRequest, run
from toolchain.run.sinks import is_folder

COUNT = 20


@pytest.fixture(scope="module")
def scene() -> tuple[list[np.ndarray], np.ndarray]:
    return walk(COUNT)


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


def asked(converted: Path, place: Path, output: Path, **changes: Any) -> RunRequest:
    given: dict[str, Any] = {
        "src": str(place / "frames"),
        "bgr": str(place / "plate.png"),
        "hint": "f32",
    }
    return RunRequest(model=converted, output=output, **{**given, **changes})


def pictures(folder: Path) -> list[np.ndarray]:
    found = []
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as picture:
            found.append(np.asarray(picture))
    return found


def test_a_folder_becomes_cutouts(
    converted: Path, place: Path, tmp_path: Path, expected: list[toolchain.Matte]
) -> None:
    """Each frame's PNG holds its own foreground and alpha, bit for bit, under its own name."""
    result = run(asked(converted, place, tmp_path / "out"))
    assert (result.frames, result.stopped, result.executed) == (COUNT, False, "f32")
    assert result.written == tmp_path / "out"
    found = pictures(tmp_path / "out")
    assert [path.name for path in sorted((tmp_path / "out").iterdir())][:2] == [
        "000.png",
        "001.png",
    ]
    assert len(found) == COUNT
    for pixels, matte in zip(found, expected, strict=True):
        assert np.array_equal(pixels, matte.cutout())
    assert 0 < result.latency["p50"] <= result.latency["p90"] <= result.latency["p99"]


def test_foreground_and_alpha_apart(
    converted: Path, place: Path, tmp_path: Path, expected: list[toolchain.Matte]
) -> None:
    """With `split` they lie in two folders."""
    run(asked(converted, place, tmp_path / "out", split=True, frames=2))
    fgr, pha = (pictures(tmp_path / "out" / kind) for kind in ("fgr", "pha"))
    assert len(fgr) == len(pha) == 2
    assert np.array_equal(fgr[1], expected[1].foreground)
    assert np.array_equal(pha[1], expected[1].alpha)


@pytest.mark.parametrize("background", ["#102030", "picture", "blur", "clip"])
def test_every_background_is_behind(
    converted: Path,
    place: Path,
    tmp_path: Path,
    expected: list[toolchain.Matte],
    scene: Any,
    background: str,
) -> None:
    """A picture of the composite is the matte over that background, to the byte."""
    from toolchain.run.backgrounds import blurred, filling

    frames, plate = scene
    drawn = np.random.default_rng(1).integers(0, 256, (100, 300, 3)).astype(np.uint8)
    Image.fromarray(drawn).save(tmp_path / "picture.png")
    given, behind = {
        "#102030": ("#102030", [(16, 32, 48)] * 3),
        "picture": (str(tmp_path / "picture.png"), [filling(drawn, SIZE)] * 3),
        "blur": ("blur", [blurred(plate)] * 3),
        "clip": (str(place / "frames"), frames[:3]),
    }[background]
    run(asked(converted, place, tmp_path / "out", background=given, frames=3))
    for number, pixels in enumerate(pictures(tmp_path / "out")):
        assert np.array_equal(pixels, expected[number].over(behind[number]))


def test_a_video_keeps_frames_times_and_sound(
    converted: Path, place: Path, tmp_path: Path, expected: list[toolchain.Matte]
) -> None:
    """H.264 out has as many frames at the same times, near the composites, and the same sound."""
    output = tmp_path / "out.mp4"
    result = run(asked(converted, place, output, src=str(place / "clip.mp4"), background="blue"))
    assert result.written == output
    found, times = read_clip(output)
    assert times == [Fraction(number, RATE) for number in range(COUNT)]
    for pixels, matte in zip(found, expected, strict=True):
        apart = np.abs(pixels[..., :3].astype(int) - matte.over((0, 0, 255)))
        assert apart.mean() < 10
        assert np.median(apart) < 4
    ours, theirs = envelope(output), envelope(place / "clip.mp4")
    both = min(len(ours), len(theirs))
    assert both >= COUNT / RATE * 20 - 2
    assert np.corrcoef(ours[:both], theirs[:both])[0, 1] > 0.98
    assert not (tmp_path / "out.part.mp4").exists()


@pytest.mark.parametrize(("suffix", "codec"), [(".webm", "libvpx-vp9"), (".mov", None)])
def test_transparent_videos_hold_the_alpha(
    converted: Path,
    place: Path,
    tmp_path: Path,
    expected: list[toolchain.Matte],
    suffix: str,
    codec: str | None,
) -> None:
    """VP9 and ProRes 4444 carry each frame's alpha, and the sound as well."""
    output = tmp_path / f"out{suffix}"
    run(asked(converted, place, output, src=str(place / "clip.mp4")))
    found, times = read_clip(output, codec)
    assert len(times) == COUNT
    for pixels, matte in zip(found, expected, strict=True):
        assert np.abs(pixels[..., 3].astype(int) - matte.alpha).mean() < 6
    ours, theirs = envelope(output), envelope(place / "clip.mp4")
    both = min(len(ours), len(theirs))
    assert np.corrcoef(ours[:both], theirs[:both])[0, 1] > 0.95


def test_uneven_times_and_odd_sides_are_kept(
    converted: Path, scene: Any, tmp_path: Path, place: Path
) -> None:
    """Frames of a variable rate are shown when they were; a side of odd length gets one pixel."""
    frames, plate = (scene[0][:5], scene[1])
    times = [Fraction(t, 1000) for t in (0, 40, 200, 240, 500)]
    clip = write_clip(tmp_path / "clip.mkv", frames, times=times)
    run(asked(converted, place, tmp_path / "out.mp4", src=str(clip), background="red"))
    assert read_clip(tmp_path / "out.mp4")[1] == times
    write_folder(tmp_path / "odd", [frame[:99, :151] for frame in frames])
    Image.fromarray(plate[:99, :151]).save(tmp_path / "odd.png")
    odd = {"src": str(tmp_path / "odd"), "bgr": str(tmp_path / "odd.png"), "background": "red"}
    run(asked(converted, place, tmp_path / "odd.mp4", **odd))
    assert read_clip(tmp_path / "odd.mp4")[0][0].shape == (100, 152, 4)


def test_one_picture_of_any_size(converted: Path, place: Path, tmp_path: Path) -> None:
    """A picture becomes a picture of its own size, in whatever format the name asks for."""
    for suffix, mode in ((".png", "RGBA"), (".webp", "RGBA"), (".jpg", "RGB"), (".tif", "RGBA")):
        output = tmp_path / f"out{suffix}"
        result = run(asked(converted, place, output, src=str(place / "frame.png")))
        assert (result.frames, result.written) == (1, output)
        with Image.open(output) as picture:
            assert (picture.size, picture.mode) == (SIZE, mode)


def test_plates_go_by_name_or_in_order(
    converted: Path, scene: Any, place: Path, tmp_path: Path, expected: list[toolchain.Matte]
) -> None:
    """A folder of plates with the frames' names, and a video of them, give each frame its own."""
    plate = scene[1]
    write_folder(tmp_path / "plates", [plate] * COUNT)
    run(asked(converted, place, tmp_path / "a", bgr=str(tmp_path / "plates"), frames=3))
    assert np.array_equal(pictures(tmp_path / "a")[2], expected[2].cutout())
    clip = write_clip(tmp_path / "plates.mp4", [plate] * 2)
    notes: list[str] = []
    run(asked(converted, place, tmp_path / "b", bgr=str(clip), frames=4), Notes(notes))
    assert len(pictures(tmp_path / "b")) == 4
    assert sum("ends first" in note for note in notes) == 1
    (tmp_path / "plates" / "001.png").unlink()
    with pytest.raises(FrameError, match="no plate for 001") as caught:
        run(asked(converted, place, tmp_path / "c", bgr=str(tmp_path / "plates")))
    assert "until then, 1, are in" in caught.value.kept


class Notes:
    """A listener that keeps what is said."""

    def __init__(self, said: list[str]) -> None:
        self._said = said

    def task(self, label: str, total: float | None = None, unit: str = "") -> Any:
        from toolchain.progress import SilentListener

        return SilentListener().task(label, total, unit)

    def note(self, text: str) -> None:
        self._said.append(text)


def test_a_plate_of_another_size(converted: Path, place: Path, scene: Any, tmp_path: Path) -> None:
    """The same picture in another size is resized, and said; another shape is an error."""
    Image.fromarray(scene[1]).resize((640, 384)).save(tmp_path / "large.png")
    notes: list[str] = []
    run(asked(converted, place, tmp_path / "out", bgr=str(tmp_path / "large.png")), Notes(notes))
    assert sum("the plate is 640x384, the frame 320x192; it is resized" in n for n in notes) == 1
    Image.fromarray(scene[1]).resize((300, 300)).save(tmp_path / "square.png")
    with pytest.raises(FrameError, match="the plate is 300x300, the frame 320x192"):
        run(asked(converted, place, tmp_path / "none", bgr=str(tmp_path / "square.png")))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bgr": "missing.png"}, "--bgr missing.png: is not there"),
        ({"src": "missing.mp4"}, "--src missing.mp4: is not there"),
        ({"background": "nocolour"}, "--background nocolour: is no colour and no file"),
        ({"output": "out.gif"}, "no format is known for .gif"),
        ({"output": "out.mp4", "background": "transparent"}, ".mp4 can't be transparent"),
        ({"output": "out.png"}, "one picture can't hold"),
        ({"output": "out.mp4", "split": True}, "--split writes two folders"),
    ],
)
def test_arguments_that_cannot_be_are_said_before_anything_runs(
    converted: Path, place: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    """They are usage errors, exit code 2, and nothing is written."""
    output = tmp_path / changes.pop("output", "out")
    with pytest.raises(UsageError) as caught:
        run(asked(converted, place, output, **changes))
    assert words in caught.value.message.replace(f"{tmp_path}/", "")
    assert caught.value.hint or "split" in words
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "folder"),
    [("mattes", True), ("version_1.2", True), ("2024.6.0-mattes", True), ("out.gif", False)],
)
def test_a_dot_in_a_name_makes_no_format(name: str, folder: bool, tmp_path: Path) -> None:
    """Folders are often named by a version; what looks like a format is taken for one."""
    assert is_folder(tmp_path / name) == folder


def test_an_unreadable_frame_in_a_folder(
    converted: Path, place: Path, scene: Any, tmp_path: Path
) -> None:
    """It stops the run by name, what came before is there; or it is left out if that is asked."""
    frames = write_folder(tmp_path / "frames", scene[0])
    (frames / "007.png").write_bytes((frames / "007.png").read_bytes()[:900])
    src = {"src": str(frames)}
    with pytest.raises(FrameError, match=r"007\.png: not a whole picture") as caught:
        run(asked(converted, place, tmp_path / "out.mp4", background="red", **src))
    assert "The frames until then, 7, are in" in caught.value.kept
    assert len(read_clip(tmp_path / "out.mp4")[0]) == 7
    result = run(asked(converted, place, tmp_path / "all", skip_bad=True, **src))
    assert result.frames == len(pictures(tmp_path / "all")) == COUNT - 1


def test_a_damaged_video(converted: Path, place: Path, scene: Any, tmp_path: Path) -> None:
    """A damaged frame is told by its number, what came before can be played, a good file stays."""
    clip = write_clip(tmp_path / "clip.mkv", scene[0], key_every=1)
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    clip.write_bytes(data)
    output = tmp_path / "out.mp4"
    output.write_bytes(b"a good one")
    with pytest.raises(FrameError, match=r"clip\.mkv: frame \d+ is damaged") as caught:
        run(asked(converted, place, output, src=str(clip), background="red"))
    finished = int(caught.value.message.split("frame ")[1].split()[0])
    assert 3 < finished < COUNT - 1
    assert output.read_bytes() == b"a good one"
    part = tmp_path / "out.part.mp4"
    assert f"The frames until then, {finished}, are in {part}" in caught.value.kept
    assert len(read_clip(part)[0]) == finished
    result = run(asked(converted, place, output, src=str(clip), background="red", skip_bad=True))
    assert finished < result.frames < COUNT
    assert len(read_clip(output)[0]) == result.frames


def test_what_is_no_video_is_said(converted: Path, place: Path, tmp_path: Path) -> None:
    """Text, and a video cut off before its index, are errors that name the file."""
    (tmp_path / "notes.mp4").write_text("no video at all")
    (tmp_path / "cut.mp4").write_bytes((place / "clip.mp4").read_bytes()[:2000])
    for name in ("notes.mp4", "cut.mp4"):
        with pytest.raises(FrameError, match=f"{name}: can't be opened as a video"):
            run(asked(converted, place, tmp_path / "out.mp4", src=str(tmp_path / name)))


def test_stopping_finishes_what_is_under_way(
    converted: Path, place: Path, tmp_path: Path, scene: Any
) -> None:
    """Once the event is set the file is closed with the frames until then, playable."""
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
    result = run(
        asked(converted, place, tmp_path / "out.mp4", src=str(clip), background="red"),
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
    """Interrupted, the command says where the finished frames are, with exit code 130."""
    clip = write_clip(tmp_path / "long.mp4", scene[0] * 40)
    output = tmp_path / "out.mp4"
    arguments = command(converted, place, "--src", clip, "-o", output, "--background", "red")
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    part = tmp_path / "out.part.mp4"
    deadline = time.monotonic() + 120
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, talk = process.communicate(timeout=120)
    assert process.returncode == 130, talk
    assert said.strip() == str(output)
    assert "Stopped early" in talk
    assert "Traceback" not in talk
    frames, _ = read_clip(output)
    assert 1 <= len(frames) < 40 * COUNT


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_a_full_disk_leaves_what_fitted(
    converted: Path, place: Path, tmp_path: Path, scene: Any
) -> None:
    """Where no more can be written the command says so in a sentence; the start can be played."""
    random = np.random.default_rng(0)
    noisy = [random.integers(0, 256, frame.shape).astype(np.uint8) for frame in scene[0] * 6]
    clip = write_clip(tmp_path / "noise.mp4", noisy)
    output = tmp_path / "out.mp4"
    arguments = command(converted, place, "--src", clip, "-o", output)
    arguments += ["--background", str(clip)]
    limit = 1_500_000

    def little_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        arguments, preexec_fn=little_room, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "cannot write" in done.stderr
    assert "The frames until then" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(read_clip(output)[0]) >= RATE  # all but the last second


def test_the_command_tells_its_result(converted: Path, place: Path, tmp_path: Path) -> None:
    """JSON on stdout has rate, percentiles, the plate's measures and the file."""
    arguments = command(converted, place, "--src", place / "frame.png", "-o", tmp_path / "o.png")
    done = subprocess.run([*arguments, "--json"], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["output"] == str(tmp_path / "o.png")
    assert told["frames"] == 1
    assert set(told["latency_ms"]) == {"p50", "p90", "p99"}
    assert told["plate"]["shift"] == [0.0, 0.0]
    assert "frames/s" in done.stderr


def test_without_the_extra_it_says_what_to_install(
    converted: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A video without PyAV is one sentence and the command that helps."""
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ToolchainError, match="Videos need PyAV") as caught:
        run(asked(converted, place, tmp_path / "out.mp4", src=str(place / "clip.mp4")))
    assert "[video]" in caught.value.hint


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(converted: Path, place: Path, tmp_path: Path) -> None:
    """It is a WorkspaceError."""
    tmp_path.chmod(0o500)
    with pytest.raises(WorkspaceError):
        run(asked(converted, place, tmp_path / "out"))
