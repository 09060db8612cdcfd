"""The frames that the ranges of 8-bit numbers are taken from."""

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
    """Loaders of at most `count` frames of `size`: of `dataset`, evenly spaced, or generated.

    Raises FrameError for a folder without pairs of frame and plate.
    """
    if dataset is None:
        return [partial(composite, CALIBRATION_SEED + index, *size) for index in range(count)]
    pairs = read_pairs(dataset)
    count = min(count, len(pairs))
    chosen = [pairs[index * len(pairs) // count] for index in range(count)]
    return [partial(load_pair, *pair, size=size) for pair in chosen]
