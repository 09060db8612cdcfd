"""Side-by-side images for the card, of frames that may be shipped."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from toolchain.definitions.arrays import Floats
from toolchain.frames.frame import Frame
from toolchain.frames.generated import composite
from training.held_out import FIRST_SEED, SIZE, shown

GREEN = np.array([0.2, 0.65, 0.35], np.float32)
TILE = (320, 180)
Matting = Callable[[Frame], tuple[Floats, Floats]]


def contact_sheet(matting: Matting) -> bytes:
    """Write a JPEG with one row per frame: frame, plate, ground truth, alpha, cutout over green."""
    frames = [
        *(composite(FIRST_SEED + index, *SIZE) for index in (0, 1, 5)),
        *(shown(fault, seed) for seed, fault in enumerate(("exact", "degraded", "hand-held"))),
    ]
    rows = []
    for frame in frames:
        assert frame.alpha is not None
        alpha, foreground = matting(frame)
        cut = alpha[..., None] * foreground + (1 - alpha[..., None]) * GREEN
        tiles = (frame.src / 255, frame.bgr / 255, _grey(frame.alpha), _grey(alpha), cut)
        rows.append(np.hstack([_tile(tile) for tile in tiles]))
    data = io.BytesIO()
    Image.fromarray(np.vstack(rows)).save(data, "JPEG", quality=85)
    return data.getvalue()


def _grey(alpha: Floats) -> Floats:
    return np.repeat(alpha[..., None], 3, 2)


def _tile(picture: np.ndarray) -> np.ndarray:
    pixels = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return np.asarray(Image.fromarray(pixels).resize(TILE, Image.Resampling.BOX))
