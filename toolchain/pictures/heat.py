"""Heat maps of differences, on a logarithmic scale from 1e-5 to 1."""

from __future__ import annotations

import math

import numpy as np

from toolchain.definitions.arrays import Floats, Pixels
from toolchain.pictures.encode import WIDEST, block_max, indexed, reduction

LOWEST, DECADES, STEPS = 1e-5, 5, 6  # steps per decade; few, so that images of noise stay small
# Lightness is monotonic, so that the order is visible without colour vision.
ANCHORS = (
    (0.00, (13, 13, 22)),
    (0.20, (52, 20, 92)),
    (0.40, (130, 32, 108)),
    (0.60, (208, 62, 74)),
    (0.80, (248, 142, 38)),
    (1.00, (252, 244, 190)),
)
NOT_A_NUMBER = (0, 220, 255)


def heat(difference: Floats, widest: int = WIDEST) -> str:
    """Absolute differences, H x W, 0..1 -> a PNG at most `widest` wide, as a `data:` address.

    Each pixel shows the largest of the values that it covers. NaN and infinity are cyan.
    """
    factor = reduction(difference.shape[1], widest)
    return indexed(levels(block_max(difference, factor)), palette())


def levels(difference: Floats) -> Pixels:
    """Index into `palette` of each value: 0 below the scale, the last but one at 1, NaN last."""
    top = DECADES * STEPS
    with np.errstate(divide="ignore", invalid="ignore"):
        place = (np.log10(np.abs(difference)) - math.log10(LOWEST)) * STEPS
    index = np.clip(np.floor(np.nan_to_num(place, nan=0, posinf=0, neginf=-1)) + 1, 0, top)
    return np.where(np.isfinite(difference), index, top + 1).astype(np.uint8)


def palette() -> Pixels:
    """N x 3 RGB: the level below the scale, those of the scale, and the one of NaN."""
    count = DECADES * STEPS
    tones = [colour(step / count) for step in range(count + 1)]
    return np.array([*tones, NOT_A_NUMBER], np.uint8)


def colour(place: float) -> tuple[int, int, int]:
    """The colour at `place`, 0..1, of the scale."""
    places = [at for at, _ in ANCHORS]
    red, green, blue = (
        round(float(np.interp(place, places, [tone[channel] for _, tone in ANCHORS])))
        for channel in range(3)
    )
    return red, green, blue


def ticks() -> list[tuple[float, int]]:
    """Place, 0..1, and power of ten of each decade; the first includes all smaller values."""
    lowest = round(math.log10(LOWEST))
    return [(step / DECADES, lowest + step) for step in range(DECADES + 1)]


def gradient() -> list[tuple[float, str]]:
    """Place, 0..1, and colour as #rrggbb along the scale, for a legend."""
    count = len(ANCHORS) * 3
    return [
        (step / count, "#{:02x}{:02x}{:02x}".format(*colour(step / count)))
        for step in range(count + 1)
    ]
