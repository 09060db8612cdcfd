"""The clean plate that belongs to each frame."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing

import numpy as np
from PIL import Image

from toolchain.definitions.arrays import Pixels
from toolchain.errors import FrameError
from toolchain.run.camera import Camera
from toolchain.run.sources import Shot, Source

SHAPE = 0.01  # by which the ratio of the sides may differ


class Plates:
    """One plate for all frames, or one for each: by name in folders, else in order.

    A video of plates that ends first is held at its last frame, since the place is the same.
    """

    def __init__(self, source: Source, frames: Source, say: Callable[[str], None]) -> None:
        self._source, self._say = source, say
        self._still: Pixels | None = None
        self._shots: Generator[Shot, None, None] | None = None
        self._by_name: dict[str, Shot] = {}
        self._told = False
        if isinstance(source, Camera):
            self._still = source.plate(say)
            return
        self._shots = source.shots()
        if source.kind == "picture" or source.count == 1:
            with closing(self._shots):
                self._still = next(self._shots).pixels
        self._named = source.kind == frames.kind == "folder"

    @property
    def one_for_all(self) -> bool:
        """Whether all frames have the same plate."""
        return self._still is not None

    def next(self, shot: Shot) -> Pixels:
        """The plate of the next frame, of its size; the same array where it is the same plate.

        Raises FrameError where there is none, or one of another shape.
        """
        if self._still is None:
            return self._fitting(self._drawn(shot), shot)
        self._still = self._fitting(self._still, shot)
        return self._still

    def close(self) -> None:
        """Let go of files."""
        if self._shots is not None:
            self._shots.close()

    def _drawn(self, shot: Shot) -> Pixels:
        assert self._shots is not None
        for plate in self._shots:
            if not self._named or plate.name == shot.name:
                self._last = plate.pixels
                return plate.pixels
        if self._named:
            raise FrameError(
                f"{self._source.label}: has no plate for {shot.name}",
                hint="Name plates as their frames, or give one plate for all.",
            )
        if not self._told:
            self._say(f"{self._source.label}: ends first; its last frame is the plate from here.")
            self._told = True
        return self._last

    def _fitting(self, plate: Pixels, shot: Shot) -> Pixels:
        if plate.shape == shot.pixels.shape:
            return plate
        (high, wide), (height, width) = plate.shape[:2], shot.pixels.shape[:2]
        found = f"{self._source.label}: the plate is {wide}x{high}, the frame {width}x{height}"
        if abs(wide * height / (high * width) - 1) > SHAPE:
            raise FrameError(
                found, hint="Take both with the same camera, unmoved, at the same settings."
            )
        if not self._told:
            self._say(f"{found}; it is resized.")
            self._told = True
        picture = Image.fromarray(plate).resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(picture, np.uint8)
