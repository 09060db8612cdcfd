"""An output never replaces an input, whatever name it has."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.clips import make_walk, write_clip, write_folder
from toolchain.errors import UsageError
from toolchain.run.request import RunRequest
from toolchain.run.runner import run_matting


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    frames, plate = make_walk(3)
    write_clip(tmp_path / "clip.mp4", frames)
    write_folder(tmp_path / "frames", frames)
    Image.fromarray(plate).save(tmp_path / "plate.png")
    Image.fromarray(frames[0]).save(tmp_path / "frame.png")
    (tmp_path / "clip.part.mp4").write_bytes((tmp_path / "clip.mp4").read_bytes())
    os.link(tmp_path / "clip.mp4", tmp_path / "hard.mp4")
    (tmp_path / "soft.mp4").symlink_to(tmp_path / "clip.mp4")
    (tmp_path / "linked").symlink_to(tmp_path / "frames", target_is_directory=True)
    return tmp_path


def get_digests(folder: Path) -> dict[Path, str]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.mark.parametrize(
    ("output", "changes"),
    [
        ("clip.mp4", {"src": "clip.mp4"}),
        ("./sub/../clip.mp4", {"src": "clip.mp4"}),
        ("hard.mp4", {"src": "clip.mp4"}),
        ("soft.mp4", {"src": "clip.mp4"}),
        ("clip.mp4", {"src": "soft.mp4"}),
        ("clip.mp4", {"src": "clip.part.mp4"}),
        ("clip.mp4", {"bgr": "clip.mp4"}),
        ("clip.mp4", {"background": "clip.mp4"}),
        ("frame.png", {"src": "frame.png"}),
        ("plate.png", {"src": "frame.png"}),
        ("frame.png", {"src": "plate.png", "background": "frame.png"}),
        ("frames", {}),
        ("linked", {}),
        ("frames/001.png", {"src": "frame.png", "bgr": "frames"}),
        ("frames", {"src": "frames/001.png"}),
        (".", {"src": "frame.png"}),
        (".", {"src": "clip.mp4"}),
        ("frames", {"src": "clip.mp4", "background": "frames"}),
    ],
)
def test_an_output_that_is_an_input_is_refused(
    folder: Path, output: str, changes: dict[str, Any]
) -> None:
    """It is refused before the model is looked for, and every file keeps its bytes."""
    (folder / "sub").mkdir()
    before = get_digests(folder)
    given = {"src": "frames", "bgr": "plate.png", **changes}
    named = {option: str(folder / value) for option, value in given.items()}
    with pytest.raises(UsageError, match="an output never replaces an input") as caught:
        run_matting(RunRequest(folder / "no-model", output=folder / output, **named))
    assert caught.value.hint
    assert get_digests(folder) == before


def test_split_folders_are_protected(folder: Path) -> None:
    """With `split` the folders that are written are OUTPUT/fgr and OUTPUT/pha."""
    (folder / "frames").rename(folder / "fgr")
    request = RunRequest(
        folder / "no-model",
        src=str(folder / "fgr"),
        bgr=str(folder / "plate.png"),
        output=folder,
        split=True,
    )
    with pytest.raises(UsageError, match="fgr is the folder of --src"):
        run_matting(request)


@pytest.mark.parametrize("output", ["frame.png", "frames"])
def test_an_existing_output_is_kept_on_request(folder: Path, output: str) -> None:
    """With `overwrite` off an existing file or a folder with files is refused."""
    before = get_digests(folder)
    request = RunRequest(
        folder / "no-model",
        src=str(folder / "clip.mp4"),
        bgr=str(folder / "plate.png"),
        output=folder / output,
        overwrite=False,
    )
    with pytest.raises(UsageError, match="already exists"):
        run_matting(request)
    assert get_digests(folder) == before
    (folder / "empty").mkdir()
    request = RunRequest(
        folder / "no-model",
        src=str(folder / "clip.mp4"),
        bgr=str(folder / "plate.png"),
        output=folder / "empty",
        overwrite=False,
    )
    with pytest.raises(UsageError, match="no-model: not found"):
        run_matting(request)
