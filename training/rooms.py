"""Rooms for training: drawn scenes, crops of photographs, and dead leaves.

Dead leaves (shapes of all sizes that cover each other) have the statistics of natural images:
Lee, Mumford and Huang, "Occlusion models for natural images", IJCV 41 (2001).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from toolchain.definitions.arrays import Floats
from toolchain.frames.scenes import (
    Random,
    draw_colour,
    draw_noise,
    draw_scene,
    to_pillow_colour,
)

PHOTOGRAPHED = 0.5  # share of the rooms that are not drawn; the rest is dead leaves
SMALLEST = 0.015  # of a leaf, as a share of the width


def room(
    random: Random, width: int, height: int, photographs: Sequence[Floats], drawn: float
) -> Floats:
    """A background, H x W x 3 float32, RGB 0..1; a `drawn` share is a scene of the toolchain's."""
    kind = random.random()
    if kind < drawn:
        return draw_scene(random, width, height)
    if kind < drawn + PHOTOGRAPHED * (1 - drawn):
        picture = crop(random, width, height, photographs)
    else:
        picture = _dead_leaves(random, width, height, photographs)
    if random.random() < 0.25:
        sigma = random.uniform(0.5, 3) * height / 360
        picture = ndimage.gaussian_filter(picture, (sigma, sigma, 0))
    lit = 1 + random.uniform(0, 0.25) * draw_noise(
        random, width, height, octaves=2, finest=height // 3
    )
    return np.clip(picture * lit.mean(2, keepdims=True), 0, 1).astype(np.float32)


def crop(random: Random, width: int, height: int, photographs: Sequence[Floats]) -> Floats:
    """Crop a photograph, upsample it to size, mirror and recolour it."""
    photograph = photographs[int(random.integers(len(photographs)))]
    tall, wide = photograph.shape[:2]
    share = np.exp(random.uniform(np.log(0.25), 0))
    cut = min(wide, tall * width / height) * share
    left = random.uniform(0, wide - cut)
    top = random.uniform(0, tall - cut * height / width)
    image = Image.fromarray((photograph * 255).astype(np.uint8))
    box = (left, top, left + cut, top + cut * height / width)
    part = image.resize((width, height), Image.Resampling.BICUBIC, box)
    if random.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if random.random() < 0.1:
        part = part.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    picture = np.asarray(part, np.float32) / 255
    if random.random() < 0.5:
        picture = picture[:, :, random.permutation(3)]
    if random.random() < 0.3:
        tone = draw_colour(random)
        picture = picture.mean(2, keepdims=True) * (0.5 + tone)
    return np.clip(picture, 0, 1)


def _dead_leaves(random: Random, width: int, height: int, photographs: Sequence[Floats]) -> Floats:
    palette = crop(random, 24, 16, photographs).reshape(-1, 3)
    image = Image.new("RGB", (width, height), to_pillow_colour(palette[0]))
    draw = ImageDraw.Draw(image)
    textured = Image.new("L", (width, height))
    texture_draw = ImageDraw.Draw(textured)
    count = int(np.exp(random.uniform(np.log(60), np.log(900))))
    # Radii of density r^-3, the largest first: late leaves are small and stay visible.
    least, most = SMALLEST * width, random.uniform(0.15, 0.5) * width
    uniform = random.random(count)
    radii = 1 / np.sqrt(uniform / least**2 + (1 - uniform) / most**2)
    for radius in sorted(radii, reverse=True):
        tone = palette[int(random.integers(len(palette)))] + random.normal(0, 0.05, 3)
        fill = to_pillow_colour(np.clip(tone, 0, 1).astype(np.float32))
        centre = (random.uniform(0, width), random.uniform(0, height))
        corners = _leaf(random, centre, float(radius))
        draw.polygon(corners, fill)
        texture_draw.polygon(corners, 255 if random.random() < 0.35 else 0)
    picture = np.asarray(image, np.float32) / 255
    grain = draw_noise(random, width, height, octaves=4, finest=2)
    picture = picture * (1 + random.uniform(0.0, 0.08) * grain)
    skin = crop(random, width, height, photographs)
    mask = np.asarray(textured, np.float32)[..., None] / 255
    return np.asarray(picture + mask * (skin - skin.mean((0, 1))), np.float32)


def _leaf(random: Random, centre: tuple[float, float], radius: float) -> list[tuple[float, float]]:
    kind, turn = random.random(), random.choice([0.0, random.uniform(0, np.pi)])
    if kind < 0.5:  # a rectangle, half of them upright: rooms have right angles
        stretch = np.exp(random.normal(0, 0.8))
        shape = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [stretch, 1 / stretch]
    elif kind < 0.8:
        around = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        shape = np.stack([np.cos(around), np.sin(around) * random.uniform(0.3, 1)], 1)
    else:
        around = np.sort(random.uniform(0, 2 * np.pi, int(random.integers(3, 8))))
        shape = np.stack([np.cos(around), np.sin(around)], 1)
    cos, sin = np.cos(turn), np.sin(turn)
    turned = shape @ np.array([[cos, -sin], [sin, cos]]) * radius + centre
    return [(float(x), float(y)) for x, y in turned]
