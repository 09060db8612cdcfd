"""Folders and single files as sources."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from toolchain.run.sources import open_source


def test_a_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    """frame2 comes before frame10, also without leading zeros and with two numbers."""
    for name in ("f10", "f1", "f2", "f2_10", "f2_09", "g"):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    names = [frame.name for frame in open_source(str(tmp_path), "--src").frames()]
    assert names == ["f1", "f2", "f2_09", "f2_10", "f10", "g"]


def test_ignored_files_of_a_folder_are_listed(tmp_path: Path) -> None:
    """Files that are no images are named; hidden and system files are not."""
    for name in ("a.png", "b.jfif", "c.avif", "d.gif"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    for name in ("notes.txt", "raw.dng", ".hidden", "Thumbs.db"):
        (tmp_path / name).write_text("x")
    source = open_source(str(tmp_path), "--src")
    assert source.count == 4
    assert source.notes == [
        f"{tmp_path}: 2 files are not images and were ignored: notes.txt, raw.dng."
    ]
    (tmp_path / "notes.txt").unlink()
    (tmp_path / "raw.dng").unlink()
    assert open_source(str(tmp_path), "--src").notes == []
