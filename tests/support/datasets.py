"""Datasets on disk, made of generated composites."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from toolchain.frames.generated import composite

WIDTH, HEIGHT = 160, 96


def write_published(
    root: Path, clips: dict[str, int], size: tuple[int, int] = (WIDTH, HEIGHT), seed: int = 50
) -> Path:
    """com/, bgr/ and fgr/ with so many frames in each clip."""
    for clip, frames in clips.items():
        for number in range(frames):
            frame = composite(seed, *size)
            seed += 1
            assert frame.alpha is not None
            assert frame.foreground is not None
            truth = np.dstack([frame.foreground, frame.alpha])
            for folder, picture in (
                ("com", frame.src),
                ("bgr", frame.bgr),
                ("fgr", np.rint(truth * 255).astype(np.uint8)),
            ):
                path = root / folder / clip / f"{number:04}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(path)
    return root


def cut_off(path: Path) -> None:
    """Leave the first two thirds of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
