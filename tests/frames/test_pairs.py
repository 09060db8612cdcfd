"""Pairs of a frame and a clean plate: layouts that are found, files that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toolchain.errors import FrameError
from toolchain.frames.pairs import load_pair, read_pairs


def save(
    path: Path, colour: tuple[int, ...] = (10, 20, 30), size: tuple[int, int] = (32, 16)
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = "RGBA" if len(colour) == 4 else "RGB"
    Image.new(mode, size, colour).save(path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("files", "pairs"),
    [
        (["src.png", "bgr.png"], [("set", "src.png", "bgr.png")]),
        (["a_src.jpg", "a_bgr.png"], [("set/a", "a_src.jpg", "a_bgr.png")]),
        (
            ["a_src.png", "b_src.png", "bgr.png"],
            [("set/a", "a_src.png", "bgr.png"), ("set/b", "b_src.png", "bgr.png")],
        ),
        (
            ["src/1.png", "src/2.png", "bgr/1.png", "bgr/2.png"],
            [("set/1", "src/1.png", "bgr/1.png"), ("set/2", "src/2.png", "bgr/2.png")],
        ),
        (["src/1.png", "bgr/plate.jpg"], [("set/1", "src/1.png", "bgr/plate.jpg")]),
        (["day/src.png", "day/bgr.png"], [("day", "day/src.png", "day/bgr.png")]),
    ],
)
def test_supported_layouts(
    files: list[str], pairs: list[tuple[str, str, str]], tmp_path: Path
) -> None:
    """Pairs are named after their folder and file, and sorted."""
    folder = tmp_path / "set"
    for name in files:
        save(folder / name)
    found = read_pairs(folder)
    assert [
        (name, src.relative_to(folder).as_posix(), bgr.relative_to(folder).as_posix())
        for name, src, bgr in found
    ] == pairs


def test_a_frame_without_a_plate_is_named(tmp_path: Path) -> None:
    """No frame is ignored silently."""
    save(tmp_path / "a_src.png")
    with pytest.raises(FrameError, match=r"a_src\.png: no clean plate found"):
        read_pairs(tmp_path)


def test_an_empty_or_missing_folder_is_refused(tmp_path: Path) -> None:
    """The hint lists the supported layouts."""
    with pytest.raises(FrameError, match="contains no pair") as caught:
        read_pairs(tmp_path)
    assert "src.png" in caught.value.hint
    with pytest.raises(FrameError, match="is not a folder"):
        read_pairs(tmp_path / "missing")


def test_a_pair_is_read_as_rgb_and_resized(tmp_path: Path) -> None:
    """RGBA becomes RGB of the requested size; there is no ground truth."""
    save(tmp_path / "src.png", (200, 100, 50, 255))
    save(tmp_path / "bgr.png", (1, 2, 3))
    frame = load_pair("x", tmp_path / "src.png", tmp_path / "bgr.png", (64, 48))
    assert frame.src.shape == frame.bgr.shape == (48, 64, 3)
    assert frame.src.dtype == np.uint8
    assert frame.src[5, 5].tolist() == [200, 100, 50]
    assert frame.bgr[5, 5].tolist() == [1, 2, 3]
    assert frame.alpha is None


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_truncated_images_are_refused(share: float, tmp_path: Path) -> None:
    """A truncated file is an error, never a half-grey frame."""
    random = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(random).save(tmp_path / "src.png")
    Image.fromarray(random).save(tmp_path / "bgr.png")
    data = (tmp_path / "src.png").read_bytes()
    (tmp_path / "src.png").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(FrameError, match=r"src\.png: cannot read the image"):
        load_pair("x", tmp_path / "src.png", tmp_path / "bgr.png", (64, 64))


def test_frame_and_plate_of_different_size_are_refused(tmp_path: Path) -> None:
    """The message states both sizes."""
    save(tmp_path / "src.png", size=(32, 16))
    save(tmp_path / "bgr.png", size=(64, 32))
    with pytest.raises(FrameError, match=r"the clean plate has 64x32 pixels, the frame .* 32x16"):
        load_pair("x", tmp_path / "src.png", tmp_path / "bgr.png", (32, 16))


def test_real_frames_are_read(real_frames: Path) -> None:
    """A real capture is resized to the model's size."""
    pairs = read_pairs(real_frames)
    assert pairs
    frame = load_pair(*pairs[0], (1280, 720))
    assert frame.src.shape == (720, 1280, 3)
    assert frame.src.std() > 10
