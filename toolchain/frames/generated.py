"""Composites of drawn foregrounds over drawn backgrounds, with exact ground truth."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from toolchain.definitions.arrays import Floats, Pixels
from toolchain.frames.foregrounds import draw_foreground
from toolchain.frames.frame import Frame
from toolchain.frames.scenes import Random, draw_scene

SIMILAR_COLOUR_SHARE = 1 / 7  # of the foregrounds: have the mean colour of the background
EXACT_PLATE_SHARE = 0.4  # of the plates: equal the background; the others are degraded


def composite(seed: int, width: int, height: int) -> Frame:
    """Generate the composite with the number `seed`.

    src = alpha * foreground + (1 - alpha) * background.  Two clean plates in five show exactly the
    background.  The others are shifted by up to 2 pixels, up to 6 % brighter or darker, and noisy;
    half of their frames contain a shadow that the plate does not.  One foreground in seven has the
    mean colour of the background.

    Args:
        seed: Number of the composite.
        width: Width in pixels.
        height: Height in pixels.

    Returns:
        A frame with ground truth; the same bytes for the same arguments and library versions.
    """
    random = np.random.default_rng((seed, 20_201))
    background = draw_scene(random, width, height)
    alpha, foreground = draw_foreground(random, width, height)
    if random.random() < SIMILAR_COLOUR_SHARE:
        foreground = np.clip(foreground + background.mean((0, 1)) - foreground.mean((0, 1)), 0, 1)
    behind, plate = background, background
    if random.random() >= EXACT_PLATE_SHARE:
        behind, plate = _degrade(random, background, alpha)
    cover = alpha[..., None]
    src = cover * foreground + (1 - cover) * behind
    return Frame(f"composite-{seed}", _to_bytes(src), _to_bytes(plate), alpha, foreground)


def composites(count: int, seed: int, width: int, height: int) -> Iterator[Frame]:
    """Generate the composites with the numbers `seed` to `seed` + `count` - 1."""
    for index in range(count):
        yield composite(seed + index, width, height)


def _degrade(random: Random, background: Floats, alpha: Floats) -> tuple[Floats, Floats]:
    """Return the background as the frame shows it, with a shadow, and as the plate shows it."""
    height = alpha.shape[0]
    behind = background
    if random.random() < 0.5:  # noqa: PLR2004
        offset = random.normal(0, height / 30, 2)
        shadow = ndimage.gaussian_filter(ndimage.shift(alpha, offset, order=1), height / 40)
        behind = background * (1 - random.uniform(0.1, 0.4) * shadow[..., None])
    shift = (*random.uniform(-2, 2, 2), 0)
    plate = ndimage.shift(background, shift, order=1, mode="nearest") * random.uniform(0.94, 1.06)
    plate = plate + random.normal(0, random.uniform(0, 0.02), background.shape)
    return behind, plate.astype(np.float32)


def _to_bytes(image: Floats) -> Pixels:
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
