"""Generated people for training, more detailed than those of `toolchain.frames.foregrounds`.

Outlines are smooth, hair has strands, clothes have folds, stripes and photographed texture, limbs
are shaded.  Drawn at twice the size and downsampled, so that edges and strands have exact coverage.
Lengths are in units of the standing height.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.interpolate import CubicSpline

from toolchain.definitions.arrays import Floats
from toolchain.frames.scenes import Random, draw_colour, draw_noise
from training.rooms import crop

FINE = 2
SKIN, SHIRT, TROUSERS, HAIR, SHOE, THING, DARK, SLEEVE = range(8)
Points = npt.NDArray[np.float64]


class _Sheet:
    """Coverage and material of every pixel, drawn together; `at` maps units to pixels."""

    def __init__(self, width: int, height: int, at: tuple[float, float], size: float) -> None:
        self.alpha = Image.new("L", (width * FINE, height * FINE))
        self.part = Image.new("L", (width, height), SHIRT)
        self._alpha, self._part = ImageDraw.Draw(self.alpha), ImageDraw.Draw(self.part)
        self.at, self.size = np.asarray(at), size

    def shape(self, outline: Points, part: int, cover: int = 255) -> None:
        """A closed outline, N x 2 units from the top of the head."""
        points = self.at + outline * self.size
        self._alpha.polygon([(x * FINE, y * FINE) for x, y in points], cover)
        self._part.polygon([(float(x), float(y)) for x, y in points], part, part, 2)

    def stroke(self, line: Points, thick: float, part: int, cover: int = 255) -> None:
        """A line; `thick` in pixels."""
        points = self.at + line * self.size
        fine = [(x * FINE, y * FINE) for x, y in points]
        self._alpha.line(fine, cover, max(1, round(thick * FINE)), "curve")
        rough = [(float(x), float(y)) for x, y in points]
        self._part.line(rough, part, max(1, round(thick) + 1), "curve")


def person(
    random: Random, width: int, height: int, photographs: Sequence[Floats]
) -> tuple[Floats, Floats]:
    """A matte and its foreground: H x W and H x W x 3 float32, 0..1, RGB; one or two people."""
    alpha = np.zeros((height, width), np.float32)
    foreground = np.zeros((height, width, 3), np.float32)
    for _ in range(1 + (random.random() < 0.12)):
        size = height * float(np.exp(random.uniform(np.log(0.5), np.log(3.0))))
        at = (width * random.uniform(0.15, 0.85), height * random.uniform(-0.05, 0.35))
        sheet = _Sheet(width, height, at, size)
        _body(random, sheet)
        front = np.asarray(sheet.alpha.resize((width, height), Image.Resampling.BOX), np.float32)
        front = front / 255
        soft = random.choice([0.0, random.uniform(0.3, 1.0), random.uniform(1.0, 2.5)])
        if soft:
            front = ndimage.gaussian_filter(front, soft * height / 720)
        colours = _dressed(random, np.asarray(sheet.part), photographs)
        colours = _rounded(random, colours, front, size)
        cover = front[..., None] if alpha.any() else np.ones((height, width, 1), np.float32)
        foreground = cover * colours + (1 - cover) * foreground
        alpha = front + (1 - front) * alpha
    return alpha, np.clip(foreground, 0, 1).astype(np.float32)


def thing(
    random: Random, width: int, height: int, photographs: Sequence[Floats]
) -> tuple[Floats, Floats]:
    """A matte and foreground of smooth shapes that show parts of photographs."""
    sheet = _Sheet(width, height, (0.0, 0.0), float(height))
    for _ in range(int(random.integers(1, 4))):
        radius = random.uniform(0.1, 0.6)
        around = np.linspace(0, 2 * np.pi, int(random.integers(5, 12)), endpoint=False)
        reach = radius * random.uniform(0.4, 1.1, len(around))
        points = np.stack([np.cos(around), np.sin(around)], 1) * reach[:, None]
        centre = random.uniform(0, 1, 2) * [width / height, 1]
        sheet.shape(_smooth(points + centre), int(random.integers(8)))
        if random.random() < 0.25:
            sheet.shape(_smooth(points * random.uniform(0.2, 0.7) + centre), SHIRT, 0)
    alpha = np.asarray(sheet.alpha.resize((width, height), Image.Resampling.BOX), np.float32) / 255
    if random.random() < 0.6:
        alpha = ndimage.gaussian_filter(alpha, random.uniform(0.3, 3) * height / 720)
    if random.random() < 0.15:  # glass
        alpha = alpha * random.uniform(0.3, 0.9)
    colours = _dressed(random, np.asarray(sheet.part), photographs)
    return alpha, np.clip(colours, 0, 1).astype(np.float32)


def _body(random: Random, sheet: _Sheet) -> None:
    shoulder, waist, hip = (
        random.uniform(*span) for span in ((0.09, 0.14), (0.06, 0.13), (0.08, 0.14))
    )
    long = random.random() < 0.45
    flow = random.normal(0, 0.1)
    if long:
        _hair_mass(random, sheet, random.uniform(0.15, 0.5), flow)
    _legs(random, sheet, hip)
    arms_behind = random.random() < 0.3
    if arms_behind:
        _arms(random, sheet, shoulder)
    lean = random.normal(0, 0.02)
    right = np.array([
        [0.03, 0.12], [0.04, 0.165], [shoulder, random.uniform(0.18, 0.2)], [shoulder * 0.9, 0.28],
        [waist + lean, 0.4], [hip + lean, random.uniform(0.5, 0.58)],
    ])  # fmt: skip
    left = right[::-1] * [-1, 1] + [2 * lean, 0] * (right[::-1, 1:] > 0.35)
    sheet.shape(_smooth(np.concatenate([right, left])), SHIRT)
    neck = random.uniform(0.02, 0.05)
    sheet.shape(
        np.array([[-0.03, 0.1], [0.03, 0.1], [neck, 0.17], [0, 0.17 + neck], [-neck, 0.17]]), SKIN
    )
    if not arms_behind:
        _arms(random, sheet, shoulder)
    _head(random, sheet)
    if not long or random.random() < 0.5:
        _hair_mass(random, sheet, random.uniform(0.0, 0.12), flow)
    if random.random() < 0.25:
        radius = random.uniform(0.03, 0.15)
        centre = np.array([random.normal(0, 0.15), random.uniform(0.2, 0.6)])
        around = np.linspace(0, 2 * np.pi, 7, endpoint=False)
        ring = np.stack([np.cos(around), np.sin(around)], 1) * random.uniform(0.5, 1, (7, 1))
        sheet.shape(_smooth(ring * radius + centre), THING)


def _head(random: Random, sheet: _Sheet) -> None:
    wide, tall = random.uniform(0.042, 0.054), random.uniform(0.06, 0.068)
    sheet.shape(_ellipse((0.0, 0.068), (wide, tall)), SKIN)
    for side in (-1, 1):
        sheet.shape(_ellipse((side * wide * 0.45, 0.062), (0.008, 0.005)), DARK)
        if random.random() < 0.4:
            sheet.shape(_ellipse((side * wide, 0.07), (0.007, 0.014)), SKIN)
    sheet.shape(_ellipse((0.0, 0.105), (0.016, 0.005)), DARK if random.random() < 0.3 else SKIN)


def _hair_mass(random: Random, sheet: _Sheet, down: float, flow: float) -> None:
    """Hair over and around the head, `down` below it; with strands that leave its outline."""
    if random.random() < 0.07:
        return  # bald
    thick = random.uniform(0.004, 0.03)
    wide = 0.048 + thick + 0.5 * down * random.uniform(0.1, 0.6)
    low = 0.07 + down
    outline = np.array([
        [0, -thick], [0.04, -thick * 0.4], [0.05 + thick * 0.6, 0.045],
        [wide * random.uniform(0.7, 1.1), (0.05 + low) / 2],
        [wide * random.uniform(0.4, 1) + flow * down * 6, low],
        [-wide * random.uniform(0.4, 1) + flow * down * 6, low * random.uniform(0.9, 1.1)],
        [-wide * random.uniform(0.7, 1.1), (0.05 + low) / 2],
        [-0.05 - thick * 0.6, 0.045], [-0.04, -thick * 0.4],
    ])  # fmt: skip
    if down < 0.13:  # a fringe: the face stays visible
        outline = np.concatenate([outline[[8, 0, 1, 2]], [[0.04, 0.05], [0, 0.02], [-0.04, 0.05]],
                                  outline[[7]]])  # fmt: skip
    edge = _smooth(outline)
    sheet.shape(edge, HAIR)
    count = int(np.exp(random.uniform(np.log(8), np.log(220))))
    reach = random.uniform(0.01, 0.05 + 0.25 * down)
    for _ in range(count):
        start = edge[int(random.integers(len(edge)))]
        away = start - [0, 0.06]
        away = away / (np.linalg.norm(away) + 1e-6) + random.normal(0, 0.6, 2) + [flow * 4, 0.3]
        steps = np.linspace(0, 1, 6)[:, None]
        bend = random.normal(0, 0.4, 2) * steps**2 + [0, 0.4] * steps**2
        line = start + reach * random.uniform(0.2, 1) * (away * steps + bend)
        sheet.stroke(line, random.uniform(0.4, 1.8), HAIR, int(random.integers(50, 256)))


def _legs(random: Random, sheet: _Sheet, hip: float) -> None:
    kind = random.random()
    knees, feet = [], []
    for side in (-1, 1):
        knee = np.array([side * random.uniform(0.03, 0.12), 0.74])
        foot = np.array([side * random.uniform(0.02, 0.16), 0.97])
        knees.append(knee)
        feet.append(foot)
        start = np.array([side * hip * 0.5, 0.5])
        part = TROUSERS if kind < 0.7 else SKIN
        _limb(sheet, start, knee, hip * 0.55, random.uniform(0.035, 0.06), part)
        _limb(sheet, knee, foot, 0.04, random.uniform(0.022, 0.05), part)
        sheet.shape(_ellipse((foot[0] + side * 0.02, 0.985), (0.045, 0.018)), SHOE)
    if kind > 0.6:  # a skirt or a dress
        hem = random.uniform(0.62, 0.92)
        spread = hip * random.uniform(0.9, 2.0)
        sheet.shape(
            np.array([[-hip, 0.48], [hip, 0.48], [spread, hem], [-spread, hem]]),
            TROUSERS if random.random() < 0.5 else SHIRT,
        )


def _arms(random: Random, sheet: _Sheet, shoulder: float) -> None:
    sleeve = random.random()
    for side in (-1, 1):
        start = np.array([side * shoulder * 0.88, 0.205])
        angle = abs(random.normal(0.12, 0.25)) if random.random() < 0.6 else random.uniform(0, 2.8)
        elbow = start + 0.17 * np.array([side * np.sin(angle), np.cos(angle)])
        angle += random.normal(0, 0.3) if random.random() < 0.5 else random.uniform(-2.6, 1)
        hand = elbow + 0.15 * np.array([side * np.sin(angle), np.cos(angle)])
        thick = random.uniform(0.026, 0.038)
        _limb(sheet, start, elbow, thick * 1.2, thick, SLEEVE if sleeve < 0.75 else SKIN)
        _limb(sheet, elbow, hand, thick, thick * 0.65, SLEEVE if sleeve < 0.4 else SKIN)
        sheet.shape(_ellipse((hand[0], hand[1]), (thick * 0.75, thick * 0.85)), SKIN)
        forward = (hand - elbow) / (np.linalg.norm(hand - elbow) + 1e-6)
        across = np.array([-forward[1], forward[0]])
        for finger in range(5):
            tip = hand + forward * random.uniform(0.03, 0.055) + across * (finger - 2) * 0.014
            tip = tip + random.normal(0, 0.006, 2)
            _limb(sheet, hand + across * (finger - 2) * 0.008, tip, 0.006, 0.0045, SKIN)


def _limb(sheet: _Sheet, start: Points, end: Points, first: float, last: float, part: int) -> None:
    """A tapered piece from `start` to `end`, of half-widths `first` and `last`, round ends."""
    along = (end - start) / (np.linalg.norm(end - start) + 1e-6)
    across = np.array([-along[1], along[0]])
    angles = np.linspace(-np.pi / 2, np.pi / 2, 7)
    cap = end + last * (np.cos(angles)[:, None] * along + np.sin(angles)[:, None] * across)
    back = start + first * (np.cos(angles)[:, None] * -along + np.sin(angles)[:, None] * -across)
    sheet.shape(np.concatenate([cap, back]), part)


def _dressed(random: Random, part: npt.NDArray[np.uint8], photographs: Sequence[Floats]) -> Floats:
    """Every pixel in the material of its part, H x W x 3 float32."""
    height, width = part.shape
    shirt = _cloth(random)
    tones = {
        SKIN: _skin(random), SHIRT: shirt, TROUSERS: _cloth(random), HAIR: _hair_tone(random),
        SHOE: _cloth(random), THING: draw_colour(random), DARK: np.full(3, 0.08, np.float32),
        SLEEVE: shirt if random.random() < 0.8 else _cloth(random),
    }  # fmt: skip
    table = np.stack([tones[index] for index in range(8)])
    colours = table[part]
    grain = draw_noise(random, width, height, octaves=4, finest=3)
    folds = ndimage.gaussian_filter(
        random.standard_normal((height, width)).astype(np.float32),
        (height * random.uniform(0.01, 0.05), width * random.uniform(0.003, 0.02)),
    )
    folds = folds / (folds.std() + 1e-6)
    clothes = np.isin(part, (SHIRT, TROUSERS, THING, SLEEVE))[..., None]
    colours = colours * (1 + random.uniform(0.01, 0.08) * grain)
    colours = colours * (1 + clothes * random.uniform(0, 0.3) * folds[..., None])
    for index in (SHIRT, TROUSERS, THING, HAIR, SKIN):
        chance, here = random.random(), (part == index)[..., None]
        if index in (SHIRT, TROUSERS) and chance < 0.2:
            colours = np.where(here, _striped(random, width, height, tones[index]), colours)
        elif chance < (0.7 if index == THING else 0.35):
            picture = crop(random, width, height, photographs)
            strength = random.uniform(0.2, 1.0) if index != SKIN else random.uniform(0.1, 0.4)
            detail = picture - picture.mean((0, 1))
            colours = np.where(here, colours + strength * detail, colours)
    return np.asarray(ndimage.uniform_filter(colours, (2, 2, 1)), np.float32)


def _rounded(random: Random, colours: Floats, alpha: Floats, size: float) -> Floats:
    """Darker towards the outline on the side away from the light."""
    thickness = ndimage.gaussian_filter(alpha, size * random.uniform(0.01, 0.03))
    sideways = np.linspace(-1, 1, alpha.shape[1], dtype=np.float32)[None, :]
    light = 1 - random.uniform(0, 0.5) * (1 - thickness) + random.uniform(-0.25, 0.25) * sideways
    return np.asarray(colours * light[..., None], np.float32)


def _striped(random: Random, width: int, height: int, tone: Floats) -> Floats:
    other = _cloth(random)
    y = np.arange(height, dtype=np.float32)[:, None] + np.zeros((1, width), np.float32)
    x = np.arange(width, dtype=np.float32)[None, :]
    period = height * random.uniform(0.015, 0.1)
    slant = random.choice([0.0, random.normal(0, 1)])
    wave = np.sin((y + slant * x) * 2 * np.pi / period)
    if random.random() < 0.3:
        wave = wave * np.sin(x * 2 * np.pi / period)
    picked = (wave > random.uniform(-0.6, 0.6))[..., None]
    return np.where(picked, tone, other).astype(np.float32)


def _cloth(random: Random) -> Floats:
    kind = random.random()
    if kind < 0.25:
        return np.clip(random.uniform(0.02, 0.15) + random.normal(0, 0.02, 3), 0, 1).astype(
            np.float32
        )
    if kind < 0.4:
        return np.clip(random.uniform(0.75, 0.98) + random.normal(0, 0.03, 3), 0, 1).astype(
            np.float32
        )
    if kind < 0.65:
        return random.uniform(0, 1, 3).astype(np.float32)
    return draw_colour(random)


def _skin(random: Random) -> Floats:
    light = random.uniform(0.25, 0.95)
    tone = light * np.array([1.0, random.uniform(0.68, 0.85), random.uniform(0.5, 0.75)])
    return np.clip(tone, 0, 1).astype(np.float32)


def _hair_tone(random: Random) -> Floats:
    light = random.uniform(0.03, 0.3) if random.random() < 0.7 else random.uniform(0.3, 0.85)
    tone = light * np.array([1.0, random.uniform(0.65, 1.0), random.uniform(0.4, 1.0)])
    return np.clip(tone, 0, 1).astype(np.float32)


def _ellipse(centre: tuple[float, float], radii: tuple[float, float]) -> Points:
    around = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    return np.stack([np.cos(around) * radii[0], np.sin(around) * radii[1]], 1) + centre


def _smooth(points: Points) -> Points:
    """A closed curve through `points`."""
    closed = np.concatenate([points, points[:1]])
    chord = np.linalg.norm(np.diff(closed, axis=0), axis=1)
    along = np.concatenate([[0], np.cumsum(np.maximum(chord, 1e-4) ** 0.5)])
    spline = CubicSpline(along, closed, bc_type="periodic")
    return np.asarray(spline(np.linspace(0, along[-1], 8 * len(points), endpoint=False)))
