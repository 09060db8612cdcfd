"""A camera as a source of frames, by OpenCV, and clean plates taken with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from fractions import Fraction
from typing import Any

import numpy as np

from toolchain.definitions.arrays import Pixels
from toolchain.errors import FrameError
from toolchain.run.extras import opencv
from toolchain.run.sources import Kind, Shot

WIDTH, HEIGHT = 1280, 720  # asked for; a camera gives what it has
WARM_UP = 10  # frames in which exposure and white balance settle
PLATE_FRAMES = 15
PLATE_SECONDS = 5
MISSED = 30  # frames in a row that a camera may fail to give


class Camera:
    """Frames as they come, until somebody stops; `time` is when they came."""

    kind: Kind = "camera"
    count = None
    sound = None

    def __init__(self, index: int) -> None:
        self._index = index
        self.label = f"camera {index}"
        self.rate: Fraction | None = Fraction(30)

    def shots(self, *, skip_bad: bool = False) -> Generator[Shot, None, None]:
        """See `Source.shots`; never ends by itself."""
        device = self._opened()
        try:
            began = time.monotonic()
            number = missed = 0
            while True:
                there, frame = device.read()
                if not there:
                    missed += 1
                    if missed > MISSED:
                        raise FrameError(f"{self.label}: gives no more frames")
                    continue
                missed = 0
                seconds = Fraction(round((time.monotonic() - began) * 1000), 1000)
                pixels = np.ascontiguousarray(frame[..., ::-1])  # OpenCV's are BGR
                yield Shot(f"{number:06}", pixels, seconds)
                number += 1
        finally:
            device.release()

    def plate(self, say: Callable[[str], None]) -> Pixels:
        """A clean plate: the median of some frames, taken after a countdown told by `say`."""
        for left in range(PLATE_SECONDS, 0, -1):
            say(f"Clean plate in {left} s: step out of the picture, and leave the camera alone.")
            time.sleep(1)
        shots = self.shots()
        try:
            for _ in range(WARM_UP):
                next(shots)
            taken = [next(shots).pixels for _ in range(PLATE_FRAMES)]
        finally:
            shots.close()
        say("Clean plate taken.")
        return np.asarray(np.median(taken, axis=0), np.uint8)

    def _opened(self) -> Any:
        device = opencv().VideoCapture(self._index)
        if not device.isOpened():
            raise FrameError(
                f"{self.label}: can't be opened",
                hint="Check that it is plugged in and that no other program uses it.",
            )
        for key, value in ((3, WIDTH), (4, HEIGHT)):  # CAP_PROP_FRAME_WIDTH and _HEIGHT
            device.set(key, value)
        return device
