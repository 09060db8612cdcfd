"""Frames for calibration."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from toolchain.frames.frame import Frame
from toolchain.frames.generated import composite
from toolchain.frames.pairs import load_pair, read_pairs
from toolchain.stages.quantize.request import CALIBRATION_SEED


def build_loaders(
    dataset: Path | None, count: int, size: tuple[int, int]
) -> list[Callable[[], Frame]]:
    """Build loaders of the calibration frames.

    Args:
        dataset: Folder of frames and plates, None for generated frames.
        count: Largest number of frames; evenly spaced in `dataset`.
        size: Width and height in pixels.

    Returns:
        One loader for each frame.

    Raises:
        FrameError: The folder has no pairs of frame and plate.
    """
    if dataset is None:
        return [partial(composite, CALIBRATION_SEED + index, *size) for index in range(count)]
    pairs = read_pairs(dataset)
    count = min(count, len(pairs))
    chosen = [pairs[index * len(pairs) // count] for index in range(count)]
    return [partial(load_pair, *pair, size=size) for pair in chosen]
