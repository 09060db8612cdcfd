"""Rooms that never were: gradients, noise of many scales, furniture-like shapes, stripes."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from toolchain.definitions.arrays import Floats

Random = np.random.Generator


def scene(random: Random, width: int, height: int) -> Floats:
    """A background, H x W x 3 float32, RGB 0..1."""
    picture = _gradient(random, width, height)
    picture += random.uniform(0.02, 0.12) * noise(random, width, height, octaves=5)
    picture = _with_shapes(random, np.clip(picture, 0, 1), width, height)
    if random.random() < 0.3:  # noqa: PLR2004 - shelves, blinds, tiles
        picture *= 1 - random.uniform(0.05, 0.3) * _stripes(random, width, height)[..., None]
    picture += random.uniform(0.0, 0.05) * noise(random, width, height, octaves=2, finest=4)
    return np.clip(picture, 0, 1).astype(np.float32)


def noise(
    random: Random, width: int, height: int, octaves: int = 4, finest: int = 8, channels: int = 3
) -> Floats:
    """Smooth noise of mean 0 and deviation near 1, H x W x `channels` float32.

    `octaves` grids, the finest with one node in `finest` pixels, each next twice as coarse and
    stronger; an octave colours the channels together with a tint of its own.
    """
    total = np.zeros((height, width, channels), np.float32)
    weight = 0.0
    for octave in range(octaves):
        step = finest * 2**octave
        grid = random.standard_normal((height // step + 2, width // step + 2)).astype(np.float32)
        tint = 1 + 0.4 * random.standard_normal(channels).astype(np.float32)
        strength = 1.5**octave
        total += strength * enlarge(grid, width, height)[..., None] * tint
        weight += strength**2
    total /= np.float32(np.sqrt(weight))
    return total


def enlarge(grid: Floats, width: int, height: int) -> Floats:
    """A small H x W float32 map enlarged to `height` x `width`, bicubic."""
    image = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32)


def colour(random: Random) -> Floats:
    """An RGB colour, 0..1, more often dull than bright."""
    grey = random.uniform(0.05, 0.95)
    return np.clip(grey + random.normal(0, 0.15, 3), 0, 1).astype(np.float32)


def as_bytes(value: Floats) -> tuple[int, int, int]:
    """A colour of 0..1 as Pillow draws it."""
    red, green, blue = (round(float(part) * 255) for part in value)
    return red, green, blue


def _gradient(random: Random, width: int, height: int) -> Floats:
    angle = random.uniform(0, 2 * np.pi)
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    ramp = (np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y) / 3 + 0.5
    first, second = colour(random), colour(random)
    return np.asarray(first + (second - first) * ramp[..., None], np.float32)


def _with_shapes(random: Random, picture: Floats, width: int, height: int) -> Floats:
    image = Image.fromarray((picture * 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(4, 28))):
        x, y = random.uniform(-0.1, 1.0, 2) * (width, height)
        w, h = random.uniform(0.02, 0.4, 2) * (width, height)
        fill = as_bytes(colour(random))
        kind = random.random()
        if kind < 0.5:  # noqa: PLR2004
            draw.rectangle((x, y, x + w, y + h), fill)
        elif kind < 0.7:  # noqa: PLR2004
            draw.ellipse((x, y, x + w, y + h), fill)
        elif kind < 0.85:  # noqa: PLR2004
            thick = int(random.integers(1, max(2, width // 60)))
            draw.line((x, y, x + random.normal(0, w), y + h), fill, thick)
        else:
            corners = [(x + dx * w, y + dy * h) for dx, dy in random.uniform(0, 1, (5, 2))]
            draw.polygon(corners, fill)
    return np.asarray(np.asarray(image) / np.float32(255), np.float32)


def _stripes(random: Random, width: int, height: int) -> Floats:
    period = random.uniform(8, 80)
    angle = random.choice([0.0, np.pi / 2, random.uniform(0, np.pi)])
    x = np.arange(width, dtype=np.float32)[None, :]
    y = np.arange(height, dtype=np.float32)[:, None]
    along = np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y
    waves = np.sin(along * np.float32(2 * np.pi / period))
    return np.asarray(waves > random.uniform(-0.5, 0.8), np.float32)
