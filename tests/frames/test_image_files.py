"""Image files are found by suffix, in order, without hidden ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.datasets import make_image, save_image
from toolchain.errors import FrameError
from toolchain.frames.image_files import list_images, map_images_by_name, walk_images


def test_images_are_found_in_order(tmp_path: Path) -> None:
    """Other files, hidden files and links to folders are ignored."""
    for name in ("b.png", "a.JPG", "sub/c.webp", ".hidden.png", ".folder/d.png"):
        save_image(tmp_path / name, make_image(1))
    (tmp_path / "notes.txt").write_text("text")
    try:
        (tmp_path / "link").symlink_to(tmp_path / "sub", target_is_directory=True)
    except OSError:
        pytest.skip("no symbolic links on this system")
    assert [path.name for path in list_images(tmp_path)] == ["a.JPG", "b.png"]
    assert [path.name for path in walk_images(tmp_path)] == ["a.JPG", "b.png", "c.webp"]
    assert list(map_images_by_name(tmp_path)) == ["a", "b", "sub/c"]


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    """Files that differ in their suffix alone are ambiguous."""
    for name in ("a.png", "a.jpg"):
        save_image(tmp_path / name, make_image(1))
    with pytest.raises(FrameError, match=r"a\.png: has the same name as a\.jpg"):
        map_images_by_name(tmp_path)
