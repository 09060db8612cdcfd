"""Datasets on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from toolchain.frames.dataset import Dataset
from toolchain.frames.generated import composite

WIDTH, HEIGHT = 160, 96


def write_published(
    root: Path, clips: dict[str, int], size: tuple[int, int] = (WIDTH, HEIGHT), seed: int = 50
) -> Path:
    """Write com/, bgr/ and fgr/ of generated composites; `clips`: number of frames by clip."""
    for clip, frames in clips.items():
        for number in range(frames):
            frame = composite(seed, *size)
            seed += 1
            assert frame.alpha is not None
            assert frame.foreground is not None
            truth = np.dstack([frame.foreground, frame.alpha])
            for folder, pixels in (
                ("com", frame.src),
                ("bgr", frame.bgr),
                ("fgr", np.rint(truth * 255).astype(np.uint8)),
            ):
                save_image(root / folder / clip / f"{number:04}.png", Image.fromarray(pixels))
    return root


def make_image(seed: int, size: tuple[int, int] = (64, 48), mode: str = "RGB") -> Image.Image:
    """Return an image of random blocks."""
    random = np.random.default_rng(seed)
    shape = {"RGB": (3,), "RGBA": (4,), "L": ()}[mode]
    coarse = random.integers(0, 256, (6, 8, *shape), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.NEAREST)


def save_image(path: Path, image: Image.Image) -> Path:
    """Save an image and make the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def write_backgrounds(folder: Path) -> Path:
    """Write five backgrounds of several sizes and formats."""
    for number, size in enumerate([(100, 40), (40, 100), (64, 48), (30, 30), (90, 70)]):
        suffix = "jpg" if number % 2 else "png"
        save_image(folder / f"{number}.{suffix}", make_image(number, size))
    return folder


def write_side_by_side(root: Path) -> None:
    """Write fgr_NAME and pha_NAME of two foregrounds."""
    for number in (1, 2):
        save_image(root / f"fgr_{number:03}.png", make_image(number))
        save_image(root / f"pha_{number:03}.png", make_image(number, mode="L"))


def truncate_file(path: Path) -> None:
    """Keep the first two thirds of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


def clips_and_names(dataset: Dataset) -> list[tuple[str, str]]:
    """Return clip and name of each frame."""
    return [(item.clip, item.name) for item in dataset.items]
