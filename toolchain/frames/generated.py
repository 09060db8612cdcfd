"""Composites of generated figures over generated rooms: the truth is known to the last pixel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from toolchain.definitions.arrays import Floats, Pixels
from toolchain.frames.figures import figure
from toolchain.frames.frame import Frame
from toolchain.frames.scenes import Random, scene

ALIKE = 1 / 7
EXACT_PLATES = 0.4  # the others were taken a moment before, and it shows


def composite(seed: int, width: int, height: int) -> Frame:
    """The composite number `seed`, the same bytes for the same seed, size and versions.

    src = alpha * foreground + (1 - alpha) * room; two plates in five show that very room, the
    others one shifted by up to 2 pixels, brighter or darker by up to 6 %, with noise, some with
    a shadow cast in the frame.  One figure in seven takes the room's mean colour.
    """
    random = np.random.default_rng((seed, 20_201))
    room = scene(random, width, height)
    alpha, foreground = figure(random, width, height)
    if random.random() < ALIKE:
        foreground = np.clip(foreground + room.mean((0, 1)) - foreground.mean((0, 1)), 0, 1)
    behind, plate = room, room
    if random.random() >= EXACT_PLATES:
        behind, plate = _degraded(random, room, alpha)
    cover = alpha[..., None]
    src = cover * foreground + (1 - cover) * behind
    return Frame(f"composite-{seed}", _pixels(src), _pixels(plate), alpha, foreground)


def composites(count: int, seed: int, width: int, height: int) -> Iterator[Frame]:
    """The composites `seed` to `seed` + `count` - 1."""
    for index in range(count):
        yield composite(seed + index, width, height)


def _degraded(random: Random, room: Floats, alpha: Floats) -> tuple[Floats, Floats]:
    """The room as the frame shows it (with a shadow) and as the plate does."""
    height = alpha.shape[0]
    behind = room
    if random.random() < 0.5:  # noqa: PLR2004
        away = random.normal(0, height / 30, 2)
        shadow = ndimage.gaussian_filter(ndimage.shift(alpha, away, order=1), height / 40)
        behind = room * (1 - random.uniform(0.1, 0.4) * shadow[..., None])
    shift = (*random.uniform(-2, 2, 2), 0)
    plate = ndimage.shift(room, shift, order=1, mode="nearest") * random.uniform(0.94, 1.06)
    plate = plate + random.normal(0, random.uniform(0, 0.02), room.shape)
    return behind, plate.astype(np.float32)


def _pixels(picture: Floats) -> Pixels:
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
