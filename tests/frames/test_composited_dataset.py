"""Datasets of foregrounds over backgrounds: layouts, choice of backgrounds, faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import SAMPLES
from tests.support.datasets import (
    clips_and_names,
    make_image,
    save_image,
    write_backgrounds,
    write_side_by_side,
)
from toolchain.errors import FrameError
from toolchain.frames.composited_dataset import CompositedItem, blend, read_composited

SIZE = (64, 48)


@pytest.fixture
def backgrounds(tmp_path: Path) -> Path:
    return write_backgrounds(tmp_path / "backgrounds")


def chosen_backgrounds(root: Path, backgrounds: Path, seed: int) -> dict[str, Path]:
    items = read_composited(root, backgrounds, seed).items
    return {item.name: item.background for item in items if isinstance(item, CompositedItem)}


def test_rgba_cutouts_over_backgrounds(tmp_path: Path, backgrounds: Path) -> None:
    """The frame is A F + (1 - A) B to the nearest byte; frames of a clip share a background."""
    root = tmp_path / "set"
    for name in ("one/1", "one/2", "two/1", "lone", "other"):
        save_image(root / f"{name}.png", make_image(len(name), mode="RGBA"))
    dataset = read_composited(root, backgrounds, 3)
    assert (dataset.kind, dataset.name, dataset.seed) == ("composited", "set", 3)
    assert clips_and_names(dataset) == [
        ("set", "lone"),
        ("one", "one/1"),
        ("one", "one/2"),
        ("set", "other"),
        ("two", "two/1"),
    ]
    for item in dataset.items:
        assert isinstance(item, CompositedItem)
        sample = item.read().decode(SIZE)
        with Image.open(item.foreground) as cutout:
            rgba = np.asarray(cutout).astype(float)
        cover = rgba[..., 3:] / 255
        exact = cover * rgba[..., :3] + (1 - cover) * sample.bgr
        assert np.abs(sample.src - exact).max() <= 0.5 + 1e-9
        assert np.array_equal(sample.alpha, rgba[..., 3])
    chosen = chosen_backgrounds(root, backgrounds, 3)
    assert chosen["one/1"] == chosen["one/2"]


def test_the_background_depends_on_seed_and_name(tmp_path: Path, backgrounds: Path) -> None:
    """Another seed changes the choice, and a removed frame does not change it for the others."""
    root = tmp_path / "set"
    for number in range(12):
        save_image(root / f"{number}.png", make_image(number, mode="RGBA"))
    before = chosen_backgrounds(root, backgrounds, 1)
    assert before == chosen_backgrounds(root, backgrounds, 1)
    assert before != chosen_backgrounds(root, backgrounds, 2)
    assert len(set(before.values())) > 1
    (root / "0.png").unlink()
    rest = {name: path for name, path in before.items() if name != "0"}
    assert chosen_backgrounds(root, backgrounds, 1) == rest


def test_blending_rounds_every_byte_to_the_nearest() -> None:
    """All alphas of all foreground values agree with a division."""
    alpha, colour = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    foreground = np.repeat(colour[..., None], 3, 2)
    for background in (0, 1, 100, 254, 255):
        found = blend(foreground, alpha, np.full_like(foreground, background))
        exact = (alpha / 255) * colour + (1 - alpha / 255) * background
        assert np.abs(found[..., 0] - exact).max() <= 0.5 + 1e-9


def write_two_folders(root: Path) -> None:
    for number in (1, 2):
        save_image(root / "fgr" / "c" / f"{number}.jpg", make_image(number))
        save_image(root / "pha" / "c" / f"{number}.png", make_image(number, mode="L"))


def write_cutouts_in_fgr(root: Path) -> None:
    for number in (1, 2):
        save_image(root / "fgr" / f"{number}.png", make_image(number, mode="RGBA"))


def write_photographs_and_cutouts(root: Path) -> None:
    for number in (1, 2):
        save_image(root / "clip_img" / "g" / f"{number}.jpg", make_image(number))
        save_image(root / "matting" / "g" / f"{number}.png", make_image(number, mode="RGBA"))


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (write_side_by_side, [("set", "001"), ("set", "002")]),
        (write_two_folders, [("c", "c/1"), ("c", "c/2")]),
        (write_cutouts_in_fgr, [("set", "1"), ("set", "2")]),
        (write_photographs_and_cutouts, [("g", "g/1"), ("g", "g/2")]),
    ],
)
def test_supported_layouts(
    write: Callable[[Path], None],
    expected: list[tuple[str, str]],
    tmp_path: Path,
    backgrounds: Path,
) -> None:
    """Pairs in one folder or in two, and cutouts alone or beside photographs, are found."""
    write(tmp_path / "set")
    dataset = read_composited(tmp_path / "set", backgrounds, 1)
    assert clips_and_names(dataset) == expected
    assert dataset.faults == ()
    for item in dataset.items:
        item.inspect()
        sample = item.read().decode((40, 32))
        assert sample.src.shape == sample.bgr.shape == (32, 40, 3)
        assert sample.alpha.shape == SIZE[::-1]


def test_a_clean_plate_of_the_same_name_is_used_unchanged(tmp_path: Path) -> None:
    """A file in bgr/ with the foreground's name is its plate and must have the same size."""
    root = tmp_path / "set"
    write_two_folders(root)
    plate = save_image(root / "bgr" / "c" / "1.png", make_image(77))
    first, second = read_composited(root, None, 1).items
    assert np.array_equal(first.read().decode(SIZE).bgr, np.asarray(make_image(77)))
    assert isinstance(second, CompositedItem)
    assert second.background == plate
    save_image(plate, make_image(77, (32, 24)))
    for attempt in (first.inspect, lambda: first.read().decode(SIZE)):
        with pytest.raises(FrameError, match=r"1\.png: has 32x24 pixels, but 1\.jpg has 64x48"):
            attempt()


def test_an_image_without_alpha_is_no_cutout(tmp_path: Path, backgrounds: Path) -> None:
    """Inspection and decoding both refuse it."""
    save_image(tmp_path / "set" / "a.png", make_image(1))
    (item,) = read_composited(tmp_path / "set", backgrounds, 1).items
    for attempt in (item.inspect, lambda: item.read().decode(SIZE)):
        with pytest.raises(FrameError, match=r"a\.png: has no alpha channel, and there is no mat"):
            attempt()


@pytest.mark.parametrize("layout", ["two folders", "side by side"])
def test_half_a_pair_is_a_fault(layout: str, tmp_path: Path, backgrounds: Path) -> None:
    """A foreground without matte and a matte without foreground are both listed."""
    root = tmp_path / "set"
    if layout == "two folders":
        write_two_folders(root)
        halves = root / "pha" / "c" / "1.png", root / "fgr" / "c" / "2.jpg"
        expected = ["pha/c/1: is missing", "fgr/c/2: is missing"]
    else:
        write_side_by_side(root)
        halves = root / "pha_001.png", root / "fgr_002.png"
        expected = ["pha_001: is missing", "fgr_002: is missing"]
    for path in halves:
        path.unlink()
    dataset = read_composited(root, backgrounds, 1)
    assert dataset.items == ()
    assert [str(fault) for fault in dataset.faults] == expected


def test_real_foregrounds_are_read() -> None:
    """Pairs of JPEG files in one folder, as they are published."""
    folder, backgrounds = SAMPLES / "mattes", SAMPLES / "capture"
    if not folder.is_dir():
        pytest.skip(f"no real frames in {folder}")
    dataset = read_composited(folder, backgrounds, 1)
    assert len(dataset.items) == 2
    for item in dataset.items:
        item.inspect()
        sample = item.read().decode((320, 192))
        assert 0 < (sample.alpha > 127).mean() < 1
