"""The recipe: parts, phases, data and learning rates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

PEAK_RATE = 2.5e-3
WARM_UP = 0.03  # share of the steps of a part
REFINER_RATE = 2.5  # of the base network's, where both learn
LEAST_VARIANCE = 0.03  # of a channel before BatchNorm: see `training.channel_pruning`
Learner = Literal["base", "refiner", "both"]


@dataclass(frozen=True)
class Phase:
    """`size`: (height, width) of the input of a step, in the backbone's pixels or, for the refiner,
    in the frame's; `zooms`: pool pixels per pixel of these, taken in turn.
    """

    steps: int
    count: int
    size: tuple[int, int]
    zooms: tuple[float, ...]


@dataclass(frozen=True)
class Pictures:
    """Numbers and sizes (width, height) of images.

    Shares of the figures: `people` and `things` of this folder, `veils` more of those that
    `toolchain.frames` draws; the rest is what it draws by itself.  `drawn`: of the rooms.
    """

    figures: int
    rooms: int
    size: tuple[int, int]
    people: float = 0.5
    things: float = 0.1
    veils: float = 0.0
    drawn: float = 0.4


@dataclass(frozen=True)
class Part:
    """Phases with their own images, annealed once from a peak rate to 0.

    `learns`: the base network, the refiner, or both on whole frames, the refiner `REFINER_RATE`
    times as fast.  `least_forecast`: lower bound of the target of the expected
    error.  `least_variance`: BatchNorm's statistics are frozen, and channels of less variance are
    set to 0 (see `training.channel_pruning`).
    """

    phases: tuple[Phase, ...]
    pictures: Pictures
    learns: Learner = "base"
    peak_rate: float = PEAK_RATE
    least_forecast: float = 0.0
    least_variance: float | None = None

    @property
    def steps(self) -> int:
        """Number of steps of all phases."""
        return sum(phase.steps for phase in self.phases)

    def schedule(self) -> Iterator[tuple[Phase, float, float]]:
        """Phase, zoom and learning rate of each step: short warm-up, then cosine to 0."""
        step = 0
        for phase in self.phases:
            for index in range(phase.steps):
                warm = min(1.0, (step + 1) / max(1.0, WARM_UP * self.steps))
                fall = 0.5 * (1 + math.cos(math.pi * step / self.steps))
                zoom = phase.zooms[index % len(phase.zooms)]
                yield phase, zoom, self.peak_rate * warm * fall
                step += 1

    def scaled(self, share: float) -> Part:
        """Scale the number of steps, and that of images if the share is small."""
        few = min(1.0, share * 4)
        phases = (replace(p, steps=max(2, round(p.steps * share))) for p in self.phases)
        figures, rooms = (
            max(4, int(count * few)) for count in (self.pictures.figures, self.pictures.rooms)
        )
        pictures = replace(self.pictures, figures=figures, rooms=rooms)
        return replace(self, phases=tuple(phases), pictures=pictures)


@dataclass(frozen=True)
class Recipe:
    """Parts, one after the other."""

    parts: tuple[Part, ...]

    @property
    def steps(self) -> int:
        """Number of steps of all parts."""
        return sum(part.steps for part in self.parts)

    def scaled(self, share: float) -> Recipe:
        """The recipe with a share of its steps."""
        return Recipe(tuple(part.scaled(share) for part in self.parts))


# An image of the pool is a whole frame: with a zoom of 640 / width a step has all of it, with
# smaller # ones a part, at the scale of the backbone at 1280x720.
BUNDLED = Recipe(
    (
        Part(
            (
                Phase(5000, 8, (96, 160), (4.0, 4.0, 2.0)),
                Phase(3200, 8, (128, 224), (2.85, 2.85, 2.0)),
                Phase(2200, 6, (180, 320), (2.0,)),
            ),
            Pictures(3600, 1800, (640, 360)),
        ),
        Part(
            (Phase(1800, 2, (720, 1280), (1.0,)),),
            Pictures(300, 160, (1280, 720)),
            learns="refiner",
        ),
        # Again, with more of the hardest samples, with frozen statistics, and without the channels
        # that # amplify rounding.
        Part(
            (Phase(5600, 6, (180, 320), (2.0,)),),
            Pictures(3600, 1800, (640, 360), people=0.2, things=0.05, veils=0.12, drawn=0.6),
            peak_rate=8e-4,
            least_forecast=0.004,
            least_variance=LEAST_VARIANCE,
        ),
        Part(
            (Phase(700, 2, (720, 1280), (1.0,)),),
            Pictures(400, 200, (1280, 720), people=0.25, things=0.05, veils=0.12, drawn=0.6),
            learns="refiner",
            peak_rate=1e-3,
        ),
        Part(
            (Phase(300, 2, (720, 1280), (1.0,)),),
            Pictures(400, 200, (1280, 720), people=0.25, things=0.05, veils=0.12, drawn=0.6),
            learns="refiner",
            peak_rate=4e-4,
            least_variance=LEAST_VARIANCE,
        ),
        # Finally both together on whole frames, downsampled as in use, with the final share of
        # veils.
        Part(
            (Phase(6000, 4, (720, 1280), (1.0,)),),
            Pictures(300, 150, (1280, 720), people=0.75, things=0.08),
            learns="both",
            peak_rate=6e-4,
            least_forecast=0.004,
            least_variance=LEAST_VARIANCE,
        ),
        # Large shapes of one colour were sometimes predicted as semi-transparent.
        Part(
            (Phase(900, 4, (720, 1280), (1.0,)),),
            Pictures(200, 100, (1280, 720), people=0.3, things=0.05, drawn=0.6),
            learns="both",
            peak_rate=3e-4,
            least_forecast=0.004,
            least_variance=LEAST_VARIANCE,
        ),
    )
)
