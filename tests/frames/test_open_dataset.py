"""Opening a dataset folder: layouts are recognized, other folders are refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.datasets import (
    make_image,
    save_image,
    write_backgrounds,
    write_published,
    write_side_by_side,
)
from toolchain.errors import FrameError
from toolchain.frames.open_dataset import open_dataset


@pytest.fixture
def backgrounds(tmp_path: Path) -> Path:
    return write_backgrounds(tmp_path / "backgrounds")


def test_the_layout_is_recognized(tmp_path: Path, backgrounds: Path) -> None:
    """Three folders are the published layout, anything else is foregrounds for backgrounds."""
    published = open_dataset(write_published(tmp_path / "published", {"c": 1}), None, 1)
    assert (published.kind, published.seed) == ("published", None)
    write_side_by_side(tmp_path / "set")
    composited = open_dataset(tmp_path / "set", backgrounds, 1)
    assert (composited.kind, composited.seed) == ("composited", 1)
    assert composited.root == (tmp_path / "set").resolve()


def test_folders_without_a_dataset_are_refused(tmp_path: Path, backgrounds: Path) -> None:
    """The message says whether it is missing, empty, or lacks backgrounds."""
    with pytest.raises(FrameError, match="is not a folder"):
        open_dataset(tmp_path / "none", None, 1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FrameError, match="contains no frames with ground truth"):
        open_dataset(tmp_path / "empty", backgrounds, 1)
    write_side_by_side(tmp_path / "set")
    with pytest.raises(FrameError, match="contains no backgrounds") as caught:
        open_dataset(tmp_path / "set", None, 1)
    assert "--backgrounds" in caught.value.hint
    save_image(tmp_path / "set" / "fgr_001.jpg", make_image(1))
    with pytest.raises(FrameError, match=r"has the same name as fgr_001\.jpg"):
        open_dataset(tmp_path / "set", backgrounds, 1)


def test_the_published_layout_takes_no_backgrounds_and_must_not_be_empty(
    tmp_path: Path, backgrounds: Path
) -> None:
    """It contains its own clean plates."""
    root = write_published(tmp_path / "published", {"c": 1})
    with pytest.raises(FrameError, match=r"its own frames \(com/\) and clean plates"):
        open_dataset(root, backgrounds, 1)
    for folder in ("com", "bgr", "fgr"):
        shutil.rmtree(root / folder)
        (root / folder).mkdir()
    with pytest.raises(FrameError, match="are empty"):
        open_dataset(root, None, 1)
