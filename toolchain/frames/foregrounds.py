"""Drawn foregrounds with their mattes: people with hair and fingers, blobs, strokes, veils, holes.

Mattes are drawn at twice the size and reduced, so that edges and hair have fractional alpha.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from toolchain.definitions.arrays import Floats
from toolchain.frames.scenes import Random, draw_colour, draw_noise, to_pillow_colour

SUPERSAMPLING = 2
Point = tuple[float, float]


class _Canvas:
    """Alpha and colour, drawn together.  Coordinates are in pixels of the final size."""

    def __init__(self, width: int, height: int, background: Floats) -> None:
        self.alpha = Image.new("L", (width * SUPERSAMPLING, height * SUPERSAMPLING))
        self.colour = Image.new("RGB", (width, height), to_pillow_colour(background))
        self._alpha = ImageDraw.Draw(self.alpha)
        self._colour = ImageDraw.Draw(self.colour)

    def ellipse(self, centre: Point, radii: Point, colour: Floats, alpha: int = 255) -> None:
        (x, y), (a, b) = centre, radii
        corners = _supersample([(x - a, y - b), (x + a, y + b)])
        self._alpha.ellipse((*corners[0], *corners[1]), alpha)
        if alpha:
            box = (x - a - 2, y - b - 2, x + a + 2, y + b + 2)
            self._colour.ellipse(box, to_pillow_colour(colour))

    def polygon(self, corners: Iterable[Point], colour: Floats, alpha: int = 255) -> None:
        points = list(corners)
        self._alpha.polygon(_supersample(points), alpha)
        if alpha:
            self._colour.polygon(points, to_pillow_colour(colour))

    def stroke(
        self, points: list[Point], thickness: float, colour: Floats, alpha: int = 255
    ) -> None:
        width = max(1, round(thickness * SUPERSAMPLING))
        self._alpha.line(_supersample(points), alpha, width, "curve")
        self._colour.line(points, to_pillow_colour(colour), max(1, round(thickness) + 2), "curve")
        if thickness > 2:  # noqa: PLR2004 - round ends
            for end in (points[0], points[-1]):
                self.ellipse(end, (thickness / 2, thickness / 2), colour, alpha)


def draw_foreground(
    random: Random, width: int, height: int, *, veil: bool = False
) -> tuple[Floats, Floats]:
    """Draw a matte and its foreground.

    One matte in 25 is empty, one in 12 is semi-transparent.

    Args:
        random: Source of random numbers.
        width: Width in pixels.
        height: Height in pixels.
        veil: Draw a semi-transparent foreground in any case.

    Returns:
        Alpha, H x W, and the foreground, H x W x 3, RGB, which is defined at every pixel; both
        float32, 0..1.
    """
    kind = 1.0 if veil else random.random()
    canvas = _Canvas(width, height, draw_colour(random))
    if kind > 0.04:  # noqa: PLR2004 - otherwise the frame is empty
        size = height * float(np.exp(random.uniform(np.log(0.5), np.log(2.6))))
        head = height * random.uniform(0.12, 0.45)
        foot = (width * random.uniform(0.15, 0.85), head + 0.9 * size)
        if kind < 0.65:  # noqa: PLR2004
            _draw_person(random, canvas, foot, size)
        elif kind < 0.8:  # noqa: PLR2004
            _draw_blobs(random, canvas, width, height)
        elif kind < 0.92:  # noqa: PLR2004
            _draw_strokes(random, canvas, width, height)
        else:
            _draw_veils(random, canvas, width, height)
    alpha = _reduce(canvas.alpha, width, height)
    blur = random.choice([0.0, random.uniform(0.3, 1.0), random.uniform(1.0, 3.0)])
    if blur:
        alpha = ndimage.gaussian_filter(alpha, blur * height / 720)
    colour = np.asarray(canvas.colour, np.float32) / 255
    colour = ndimage.uniform_filter(colour, (3, 3, 1))
    colour *= 1 + random.uniform(0.02, 0.2) * draw_noise(random, width, height, octaves=4, finest=4)
    return alpha, np.clip(colour, 0, 1).astype(np.float32)


def _draw_person(random: Random, canvas: _Canvas, foot: Point, size: float) -> None:
    x, y = foot
    skin, shirt, hair, trousers = (draw_colour(random) for _ in range(4))
    hip, shoulder, head = y - 0.45 * size, y - 0.78 * size, y - 0.9 * size
    wide = size * random.uniform(0.1, 0.19)
    limb = size * random.uniform(0.035, 0.06)
    for side in (-1, 1):
        knee = (x + side * wide * random.uniform(0.3, 1.3), y - 0.22 * size)
        ankle = (x + side * wide * random.uniform(0.3, 1.8), y)
        canvas.stroke([(x + side * wide * 0.5, hip), knee, ankle], limb * 1.3, trousers)
    if random.random() < 0.6:  # noqa: PLR2004
        _draw_hair(random, canvas, (x, head), size, hair)
    canvas.polygon(
        [
            (x - wide * 1.2, shoulder),
            (x + wide * 1.2, shoulder),
            (x + wide * random.uniform(0.6, 1.1), hip),
            (x - wide * random.uniform(0.6, 1.1), hip),
        ],
        shirt,
    )
    canvas.stroke([(x, shoulder), (x, head)], limb, skin)
    radius = size * random.uniform(0.055, 0.085)
    canvas.ellipse((x, head - radius * 0.4), (radius * 1.1, radius * 1.35), hair)
    canvas.ellipse((x, head), (radius, radius * 1.25), skin)
    for side in (-1, 1):
        elbow = (
            x + side * (wide * 1.3 + size * random.uniform(0.0, 0.15)),
            shoulder + size * random.uniform(-0.1, 0.2),
        )
        hand = (elbow[0] + size * random.normal(0, 0.12), elbow[1] + size * random.normal(0, 0.15))
        canvas.stroke([(x + side * wide * 1.1, shoulder + limb / 2), elbow], limb, shirt)
        sleeve = skin if random.random() < 0.5 else shirt  # noqa: PLR2004
        canvas.stroke([elbow, hand], limb * 0.8, sleeve)
        canvas.ellipse(hand, (limb * 0.6, limb * 0.7), skin)
        for _ in range(5):
            tip = tuple(hand[i] + size * random.normal(0, 0.028) for i in (0, 1))
            canvas.stroke([hand, (tip[0], tip[1])], max(1.0, limb * 0.17), skin)
    for _ in range(int(random.integers(0, 4))):  # prints on the shirt
        centre = (x + wide * random.uniform(-0.7, 0.7), random.uniform(shoulder, hip))
        canvas.ellipse(centre, (wide * 0.3, wide * 0.2), draw_colour(random))


def _draw_hair(random: Random, canvas: _Canvas, head: Point, size: float, colour: Floats) -> None:
    length = size * random.uniform(0.05, 0.25)
    for _ in range(int(random.integers(30, 140))):
        angle = random.uniform(-np.pi, 0) + random.normal(0, 0.2)
        start = (head[0] + 0.06 * size * np.cos(angle), head[1] + 0.08 * size * np.sin(angle))
        points = [start]
        bend = random.normal(0, 0.5)
        for step in range(1, 5):
            turn = angle + bend * step / 2 + (np.pi / 2 - angle) * step / 8
            x, y = points[-1]
            points.append((x + length / 4 * np.cos(turn), y + length / 4 * np.sin(turn)))
        canvas.stroke(points, random.uniform(0.5, 1.6), colour, int(random.integers(120, 256)))


def _draw_blobs(random: Random, canvas: _Canvas, width: int, height: int) -> None:
    for _ in range(int(random.integers(1, 7))):
        centre = (random.uniform(0, width), random.uniform(0, height))
        radii = (random.uniform(0.02, 0.3) * width, random.uniform(0.02, 0.3) * height)
        canvas.ellipse(centre, radii, draw_colour(random))
        if random.random() < 0.4:  # noqa: PLR2004 - a hole
            inner = (radii[0] * random.uniform(0.1, 0.7), radii[1] * random.uniform(0.1, 0.7))
            canvas.ellipse(centre, inner, draw_colour(random), 0)


def _draw_strokes(random: Random, canvas: _Canvas, width: int, height: int) -> None:
    for _ in range(int(random.integers(2, 30))):
        points = [(random.uniform(0, width), random.uniform(0, height))]
        for _ in range(int(random.integers(1, 5))):
            x, y = points[-1]
            points.append((x + random.normal(0, width / 8), y + random.normal(0, height / 8)))
        thickness = float(np.exp(random.uniform(0, np.log(max(3, height / 20)))))
        canvas.stroke(points, thickness, draw_colour(random))


def _draw_veils(random: Random, canvas: _Canvas, width: int, height: int) -> None:
    for _ in range(int(random.integers(1, 4))):
        centre = np.array([random.uniform(0, width), random.uniform(0, height)])
        spread = np.array([width, height]) * random.uniform(0.1, 0.4)
        angles = np.sort(random.uniform(0, 2 * np.pi, 7))
        corners = [
            (float(x), float(y))
            for x, y in centre + spread * np.stack([np.cos(angles), np.sin(angles)], 1)
        ]
        canvas.polygon(corners, draw_colour(random), int(random.integers(50, 220)))


def _reduce(image: Image.Image, width: int, height: int) -> Floats:
    small = image.resize((width, height), Image.Resampling.BOX)
    return np.asarray(np.asarray(small) / np.float32(255), np.float32)


def _supersample(points: Iterable[Point]) -> list[Point]:
    return [(x * SUPERSAMPLING, y * SUPERSAMPLING) for x, y in points]
