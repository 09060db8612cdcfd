"""Figures that never were: people with hair and fingers, blobs, strokes, veils, holes.

Everything is drawn at twice the size and shrunk, so that edges and hairs have true coverage.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from toolchain.definitions.arrays import Floats
from toolchain.frames.scenes import Random, as_bytes, colour, noise

FINE = 2  # drawn this much larger
Point = tuple[float, float]


class _Sheet:
    """An alpha and a colour drawing that grow together."""

    def __init__(self, width: int, height: int, ground: Floats) -> None:
        self.alpha = Image.new("L", (width * FINE, height * FINE))
        self.colour = Image.new("RGB", (width, height), as_bytes(ground))
        self._alpha = ImageDraw.Draw(self.alpha)
        self._colour = ImageDraw.Draw(self.colour)

    def ellipse(self, centre: Point, radii: Point, tone: Floats, cover: int = 255) -> None:
        (x, y), (a, b) = centre, radii
        self._alpha.ellipse(_fine((x - a, y - b, x + a, y + b)), cover)
        if cover:
            self._colour.ellipse((x - a - 2, y - b - 2, x + a + 2, y + b + 2), as_bytes(tone))

    def polygon(self, corners: Iterable[Point], tone: Floats, cover: int = 255) -> None:
        points = list(corners)
        self._alpha.polygon([(x * FINE, y * FINE) for x, y in points], cover)
        if cover:
            self._colour.polygon(points, as_bytes(tone))

    def stroke(self, points: list[Point], thick: float, tone: Floats, cover: int = 255) -> None:
        fine = [(x * FINE, y * FINE) for x, y in points]
        self._alpha.line(fine, cover, max(1, round(thick * FINE)), "curve")
        self._colour.line(points, as_bytes(tone), max(1, round(thick) + 2), "curve")
        if thick > 2:  # noqa: PLR2004 - round ends
            for end in (points[0], points[-1]):
                self.ellipse(end, (thick / 2, thick / 2), tone, cover)


def figure(random: Random, width: int, height: int, *, veil: bool = False) -> tuple[Floats, Floats]:
    """A matte and its foreground: H x W and H x W x 3 float32, 0..1, RGB.

    The foreground is defined everywhere.  One in 25 is empty, one in 12 semi-transparent, or each
    if `veil`.
    """
    kind = 1.0 if veil else random.random()
    sheet = _Sheet(width, height, colour(random))
    if kind > 0.04:  # noqa: PLR2004 - else nobody is in the frame
        size = height * float(np.exp(random.uniform(np.log(0.5), np.log(2.6))))
        head = height * random.uniform(0.12, 0.45)
        foot = (width * random.uniform(0.15, 0.85), head + 0.9 * size)
        if kind < 0.65:  # noqa: PLR2004
            _person(random, sheet, foot, size)
        elif kind < 0.8:  # noqa: PLR2004
            _blobs(random, sheet, width, height)
        elif kind < 0.92:  # noqa: PLR2004
            _strokes(random, sheet, width, height)
        else:
            _veils(random, sheet, width, height)
    alpha = _shrunk(sheet.alpha, width, height)
    soft = random.choice([0.0, random.uniform(0.3, 1.0), random.uniform(1.0, 3.0)])
    if soft:
        alpha = ndimage.gaussian_filter(alpha, soft * height / 720)
    drawn = np.asarray(sheet.colour, np.float32) / 255
    drawn = ndimage.uniform_filter(drawn, (3, 3, 1))
    drawn *= 1 + random.uniform(0.02, 0.2) * noise(random, width, height, octaves=4, finest=4)
    return alpha, np.clip(drawn, 0, 1).astype(np.float32)


def _person(random: Random, sheet: _Sheet, foot: Point, size: float) -> None:
    x, y = foot
    skin, shirt, hair, trousers = (colour(random) for _ in range(4))
    hip, shoulder, head = y - 0.45 * size, y - 0.78 * size, y - 0.9 * size
    wide = size * random.uniform(0.1, 0.19)
    limb = size * random.uniform(0.035, 0.06)
    for side in (-1, 1):
        knee = (x + side * wide * random.uniform(0.3, 1.3), y - 0.22 * size)
        ankle = (x + side * wide * random.uniform(0.3, 1.8), y)
        sheet.stroke([(x + side * wide * 0.5, hip), knee, ankle], limb * 1.3, trousers)
    if random.random() < 0.6:  # noqa: PLR2004
        _hair(random, sheet, (x, head), size, hair)
    sheet.polygon(
        [
            (x - wide * 1.2, shoulder),
            (x + wide * 1.2, shoulder),
            (x + wide * random.uniform(0.6, 1.1), hip),
            (x - wide * random.uniform(0.6, 1.1), hip),
        ],
        shirt,
    )
    sheet.stroke([(x, shoulder), (x, head)], limb, skin)
    radius = size * random.uniform(0.055, 0.085)
    sheet.ellipse((x, head - radius * 0.4), (radius * 1.1, radius * 1.35), hair)
    sheet.ellipse((x, head), (radius, radius * 1.25), skin)
    for side in (-1, 1):
        elbow = (
            x + side * (wide * 1.3 + size * random.uniform(0.0, 0.15)),
            shoulder + size * random.uniform(-0.1, 0.2),
        )
        hand = (elbow[0] + size * random.normal(0, 0.12), elbow[1] + size * random.normal(0, 0.15))
        sheet.stroke([(x + side * wide * 1.1, shoulder + limb / 2), elbow], limb, shirt)
        sheet.stroke([elbow, hand], limb * 0.8, skin if random.random() < 0.5 else shirt)  # noqa: PLR2004
        sheet.ellipse(hand, (limb * 0.6, limb * 0.7), skin)
        for _ in range(5):
            tip = tuple(hand[i] + size * random.normal(0, 0.028) for i in (0, 1))
            sheet.stroke([hand, (tip[0], tip[1])], max(1.0, limb * 0.17), skin)
    for _ in range(int(random.integers(0, 4))):  # prints on the shirt
        at = (x + wide * random.uniform(-0.7, 0.7), random.uniform(shoulder, hip))
        sheet.ellipse(at, (wide * 0.3, wide * 0.2), colour(random))


def _hair(random: Random, sheet: _Sheet, head: Point, size: float, tone: Floats) -> None:
    long = size * random.uniform(0.05, 0.25)
    for _ in range(int(random.integers(30, 140))):
        angle = random.uniform(-np.pi, 0) + random.normal(0, 0.2)
        start = (head[0] + 0.06 * size * np.cos(angle), head[1] + 0.08 * size * np.sin(angle))
        points = [start]
        bend = random.normal(0, 0.5)
        for step in range(1, 5):
            turn = angle + bend * step / 2 + (np.pi / 2 - angle) * step / 8
            last = points[-1]
            points.append((last[0] + long / 4 * np.cos(turn), last[1] + long / 4 * np.sin(turn)))
        sheet.stroke(points, random.uniform(0.5, 1.6), tone, int(random.integers(120, 256)))


def _blobs(random: Random, sheet: _Sheet, width: int, height: int) -> None:
    for _ in range(int(random.integers(1, 7))):
        centre = (random.uniform(0, width), random.uniform(0, height))
        radii = (random.uniform(0.02, 0.3) * width, random.uniform(0.02, 0.3) * height)
        sheet.ellipse(centre, radii, colour(random))
        if random.random() < 0.4:  # noqa: PLR2004 - a hole
            inner = (radii[0] * random.uniform(0.1, 0.7), radii[1] * random.uniform(0.1, 0.7))
            sheet.ellipse(centre, inner, colour(random), 0)


def _strokes(random: Random, sheet: _Sheet, width: int, height: int) -> None:
    for _ in range(int(random.integers(2, 30))):
        points = [(random.uniform(0, width), random.uniform(0, height))]
        for _ in range(int(random.integers(1, 5))):
            x, y = points[-1]
            points.append((x + random.normal(0, width / 8), y + random.normal(0, height / 8)))
        thick = float(np.exp(random.uniform(0, np.log(max(3, height / 20)))))
        sheet.stroke(points, thick, colour(random))


def _veils(random: Random, sheet: _Sheet, width: int, height: int) -> None:
    for _ in range(int(random.integers(1, 4))):
        centre = np.array([random.uniform(0, width), random.uniform(0, height)])
        spread = np.array([width, height]) * random.uniform(0.1, 0.4)
        angles = np.sort(random.uniform(0, 2 * np.pi, 7))
        corners = [
            (float(x), float(y))
            for x, y in centre + spread * np.stack([np.cos(angles), np.sin(angles)], 1)
        ]
        sheet.polygon(corners, colour(random), int(random.integers(50, 220)))


def _shrunk(image: Image.Image, width: int, height: int) -> Floats:
    small = image.resize((width, height), Image.Resampling.BOX)
    return np.asarray(np.asarray(small) / np.float32(255), np.float32)


def _fine(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = box
    return left * FINE, top * FINE, right * FINE, bottom * FINE
