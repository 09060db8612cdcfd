"""What is trained for how long, on what, at which rate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

PEAK_RATE = 2.5e-3
WARM_UP = 0.03  # share of the steps of a part


@dataclass(frozen=True)
class Phase:
    """`size`: (height, width) of what a step sees, in the backbone's pixels or, for the refiner,
    in the frame's; `zooms`: pool pixels per pixel of these, taken in turn.
    """

    steps: int
    count: int
    size: tuple[int, int]
    zooms: tuple[float, ...]
    refiner: bool = False


@dataclass(frozen=True)
class PoolSize:
    """How many pictures of which (width, height)."""

    figures: int
    rooms: int
    size: tuple[int, int]


@dataclass(frozen=True)
class Recipe:
    """The base network's phases, then the refiner's; each part anneals to a rate of 0."""

    phases: tuple[Phase, ...]
    base_pool: PoolSize
    refiner_pool: PoolSize

    def scaled(self, share: float) -> Recipe:
        """The recipe with a share of its steps, and of its pictures as long as that is small."""
        few = min(1.0, share * 4)

        def smaller(pool: PoolSize) -> PoolSize:
            return PoolSize(
                max(4, int(pool.figures * few)), max(4, int(pool.rooms * few)), pool.size
            )

        phases = (
            Phase(max(2, round(p.steps * share)), p.count, p.size, p.zooms, p.refiner)
            for p in self.phases
        )
        return Recipe(tuple(phases), smaller(self.base_pool), smaller(self.refiner_pool))

    def schedule(self) -> Iterator[tuple[Phase, float, float]]:
        """Phase, zoom and learning rate of each step: short warm-up, then cosine to 0."""
        for refiner in (False, True):
            mine = [phase for phase in self.phases if phase.refiner == refiner]
            total = sum(phase.steps for phase in mine)
            step = 0
            for phase in mine:
                for index in range(phase.steps):
                    warm = min(1.0, (step + 1) / max(1.0, WARM_UP * total))
                    rate = PEAK_RATE * warm * 0.5 * (1 + math.cos(math.pi * step / total))
                    yield phase, phase.zooms[index % len(phase.zooms)], rate
                    step += 1


# A pool picture shows a whole frame: a zoom of 640 / width shows a step all of it, smaller ones a
# part at the size that the backbone sees it at 1280x720.
BUNDLED = Recipe(
    phases=(
        Phase(5000, 8, (96, 160), (4.0, 4.0, 2.0)),
        Phase(3200, 8, (128, 224), (2.85, 2.85, 2.0)),
        Phase(2200, 6, (180, 320), (2.0,)),
        Phase(1800, 2, (720, 1280), (1.0,), refiner=True),
    ),
    base_pool=PoolSize(3600, 1800, (640, 360)),
    refiner_pool=PoolSize(300, 160, (1280, 720)),
)
