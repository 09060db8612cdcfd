"""Drawn backgrounds: gradients, noise of several scales, furniture-like shapes, stripes."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from toolchain.definitions.arrays import Floats

Random = np.random.Generator


def draw_scene(random: Random, width: int, height: int) -> Floats:
    """Draw a background, H x W x 3, float32, RGB, 0..1."""
    image = _draw_gradient(random, width, height)
    image += random.uniform(0.02, 0.12) * draw_noise(random, width, height, octaves=5)
    image = _add_shapes(random, np.clip(image, 0, 1), width, height)
    if random.random() < 0.3:  # noqa: PLR2004 - shelves, blinds, tiles
        image *= 1 - random.uniform(0.05, 0.3) * _draw_stripes(random, width, height)[..., None]
    image += random.uniform(0.0, 0.05) * draw_noise(random, width, height, octaves=2, finest=4)
    return np.clip(image, 0, 1).astype(np.float32)


def draw_noise(
    random: Random, width: int, height: int, octaves: int = 4, finest: int = 8, channels: int = 3
) -> Floats:
    """Draw smooth noise of mean 0 and standard deviation near 1.

    Args:
        random: Source of random numbers.
        width: Width in pixels.
        height: Height in pixels.
        octaves: Number of grids that are added up.  Each is twice as coarse as the one before and
            1.5 times as strong, and has its own tint, by which it varies the channels together.
        finest: Distance between the nodes of the finest grid in pixels.
        channels: Number of channels.

    Returns:
        H x W x `channels`, float32.
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
    """Enlarge a float32 map to `height` x `width`, bicubic."""
    image = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32)


def draw_colour(random: Random) -> Floats:
    """Draw an RGB colour, 0..1, mostly of low saturation."""
    grey = random.uniform(0.05, 0.95)
    return np.clip(grey + random.normal(0, 0.15, 3), 0, 1).astype(np.float32)


def to_pillow_colour(colour: Floats) -> tuple[int, int, int]:
    """Convert an RGB colour from 0..1 to the tuple of 0..255 that Pillow draws with."""
    red, green, blue = (round(float(value) * 255) for value in colour)
    return red, green, blue


def _draw_gradient(random: Random, width: int, height: int) -> Floats:
    angle = random.uniform(0, 2 * np.pi)
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    ramp = (np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y) / 3 + 0.5
    first, second = draw_colour(random), draw_colour(random)
    return np.asarray(first + (second - first) * ramp[..., None], np.float32)


def _add_shapes(random: Random, pixels: Floats, width: int, height: int) -> Floats:
    image = Image.fromarray((pixels * 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(4, 28))):
        x, y = random.uniform(-0.1, 1.0, 2) * (width, height)
        w, h = random.uniform(0.02, 0.4, 2) * (width, height)
        fill = to_pillow_colour(draw_colour(random))
        kind = random.random()
        if kind < 0.5:  # noqa: PLR2004
            draw.rectangle((x, y, x + w, y + h), fill)
        elif kind < 0.7:  # noqa: PLR2004
            draw.ellipse((x, y, x + w, y + h), fill)
        elif kind < 0.85:  # noqa: PLR2004
            thickness = int(random.integers(1, max(2, width // 60)))
            draw.line((x, y, x + random.normal(0, w), y + h), fill, thickness)
        else:
            corners = [(x + dx * w, y + dy * h) for dx, dy in random.uniform(0, 1, (5, 2))]
            draw.polygon(corners, fill)
    return np.asarray(np.asarray(image) / np.float32(255), np.float32)


def _draw_stripes(random: Random, width: int, height: int) -> Floats:
    period = random.uniform(8, 80)
    angle = random.choice([0.0, np.pi / 2, random.uniform(0, np.pi)])
    x = np.arange(width, dtype=np.float32)[None, :]
    y = np.arange(height, dtype=np.float32)[:, None]
    along = np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y
    waves = np.sin(along * np.float32(2 * np.pi / period))
    return np.asarray(waves > random.uniform(-0.5, 0.8), np.float32)
