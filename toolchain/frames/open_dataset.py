"""Opens a dataset folder of any supported layout."""

from __future__ import annotations

from pathlib import Path

from toolchain.errors import FrameError
from toolchain.frames.composited_dataset import LAYOUTS, read_composited
from toolchain.frames.dataset import Dataset
from toolchain.frames.published_dataset import is_published_layout, read_published


def open_dataset(root: Path, backgrounds: Path | None, seed: int) -> Dataset:
    """Open the dataset in a folder.

    Args:
        root: Folder in one of the layouts of `composited_dataset.LAYOUTS`.
        backgrounds: Folder of backgrounds; not allowed for the published layout, which contains
            its own.
        seed: Seed of the choice of backgrounds.

    Returns:
        The dataset with at least one frame or fault.

    Raises:
        FrameError: The folder does not exist, or contains no dataset.
    """
    for folder in filter(None, (root, backgrounds)):
        if not folder.is_dir():
            raise FrameError(f"{folder}: is not a folder", hint=f"Give {LAYOUTS}.")
    root = root.resolve()
    try:
        if not is_published_layout(root):
            return read_composited(root, backgrounds and backgrounds.resolve(), seed)
        if backgrounds is not None:
            raise FrameError(
                f"{root}: contains its own frames (com/) and clean plates (bgr/)",
                hint="Leave --backgrounds out.",
            )
        dataset = read_published(root)
    except OSError as error:
        raise FrameError(f"{error.filename}: cannot be read: {error.strerror}") from error
    if not dataset.items and not dataset.faults:
        raise FrameError(f"{root}: com/, bgr/ and fgr/ are empty", hint=f"Give {LAYOUTS}.")
    return dataset
