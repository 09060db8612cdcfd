"""A camera as a source of frames and clean plates, through OpenCV."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from fractions import Fraction
from typing import Any

import numpy as np

from toolchain.definitions.arrays import Pixels
from toolchain.errors import FrameError
from toolchain.run.extras import load_opencv
from toolchain.run.source import SourceFrame, SourceKind

WIDTH, HEIGHT = 1280, 720  # requested; a camera may deliver another size
WARM_UP_FRAMES = 10  # until exposure and white balance are stable
PLATE_FRAMES = 15
PLATE_SECONDS = 5
MAX_MISSED = 30  # failed reads in a row


class CameraSource:
    """Frames of a camera as they arrive; their `time` is the time of arrival."""

    kind: SourceKind = "camera"
    count = None
    audio = None

    def __init__(self, index: int) -> None:
        self._index = index
        self.label = f"camera {index}"
        self.rate: Fraction | None = Fraction(30)
        self.notes: list[str] = []

    def frames(self, *, skip_bad: bool = False) -> Generator[SourceFrame, None, None]:
        """See `Source.frames`; does not end by itself."""
        device = self._open()
        try:
            start = time.monotonic()
            number = missed = 0
            while True:
                is_read, frame = device.read()
                if not is_read:
                    missed += 1
                    if missed > MAX_MISSED:
                        raise FrameError(f"{self.label}: sends no more frames")
                    continue
                missed = 0
                seconds = Fraction(round((time.monotonic() - start) * 1000), 1000)
                pixels = np.ascontiguousarray(frame[..., ::-1])  # BGR to RGB
                yield SourceFrame(f"{number:06}", pixels, seconds)
                number += 1
        finally:
            device.release()

    def capture_plate(self, note: Callable[[str], None]) -> Pixels:
        """Take a clean plate after a countdown: the median of several frames.

        Args:
            note: Shows a line to the user.

        Returns:
            H x W x 3, uint8, RGB.

        Raises:
            FrameError: The camera cannot be opened or sends no frames.
        """
        with closing(self.frames()) as frames:
            next(frames)  # the countdown begins when the camera works
            for seconds in range(PLATE_SECONDS, 0, -1):
                note(f"Clean plate in {seconds} s: leave the frame, and do not move the camera.")
                end = time.monotonic() + 1
                while time.monotonic() < end:
                    next(frames)  # the camera may keep old frames
            for _ in range(WARM_UP_FRAMES):
                next(frames)
            images = [next(frames).pixels for _ in range(PLATE_FRAMES)]
        note("Clean plate taken.")
        return np.asarray(np.median(images, axis=0), np.uint8)

    def _open(self) -> Any:
        device = load_opencv().VideoCapture(self._index)
        if not device.isOpened():
            raise FrameError(
                f"{self.label}: cannot be opened",
                hint="Check that it is connected and that no other program uses it.",
            )
        for key, value in ((3, WIDTH), (4, HEIGHT)):  # CAP_PROP_FRAME_WIDTH and _HEIGHT
            device.set(key, value)
        return device
