"""The clean plate of each frame."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from fractions import Fraction

import numpy as np
from PIL import Image

from toolchain.definitions.arrays import Pixels
from toolchain.errors import FrameError
from toolchain.run.camera import CameraSource
from toolchain.run.source import Source, SourceFrame

ASPECT_TOLERANCE = 0.01  # relative difference of the aspect ratios


class Plates:
    """One clean plate for all frames, or one for each: by name for folders, else in order.

    If a video of plates ends before the frames do, its last plate is used for the rest.

    Args:
        source: Source of the plates. A camera takes one plate at once.
        frames: Source of the frames.
        note: Shows a line to the user.
    """

    def __init__(self, source: Source, frames: Source, note: Callable[[str], None]) -> None:
        self._source, self._note = source, note
        self._single: Pixels | None = None
        self._plates: Generator[SourceFrame, None, None] | None = None
        self._is_noted = False
        self._aspect = Fraction(1)  # of the pixels of the last plate
        self._by_name = source.kind == frames.kind == "folder"
        if isinstance(source, CameraSource):
            self._single = source.capture_plate(note)
            return
        self._plates = source.frames()
        if source.kind == "image" or source.count == 1:
            with closing(self._plates):
                plate = next(self._plates)
                self._single, self._aspect = plate.pixels, plate.aspect

    @property
    def is_single(self) -> bool:
        """Whether all frames have the same plate."""
        return self._single is not None

    def next_plate(self, frame: SourceFrame) -> Pixels:
        """Return the plate of the next frame, resized to the size of the frame.

        Args:
            frame: The frame.

        Returns:
            H x W x 3, uint8, RGB; the same array for as long as the plate is the same.

        Raises:
            FrameError: The frame has no plate, or the aspect ratios differ.
        """
        if self._single is None:
            return self._resize(self._read(frame), frame)
        self._single = self._resize(self._single, frame)
        return self._single

    def close(self) -> None:
        """Close open files."""
        if self._plates is not None:
            self._plates.close()

    def _read(self, frame: SourceFrame) -> Pixels:
        assert self._plates is not None
        for plate in self._plates:
            if not self._by_name or plate.name == frame.name:
                self._last, self._aspect = plate.pixels, plate.aspect
                return plate.pixels
        if self._by_name:
            raise FrameError(
                f"{self._source.label}: no clean plate for {frame.name}",
                hint="Name plates like their frames, or give one plate for all frames.",
            )
        self._note_once(f"{self._source.label}: ends before the frames; its last plate is kept.")
        return self._last

    def _resize(self, plate: Pixels, frame: SourceFrame) -> Pixels:
        if plate.shape == frame.pixels.shape:
            return plate
        (plate_height, plate_width), (width, height) = plate.shape[:2], frame.size
        found = (
            f"{self._source.label}: the clean plate is {plate_width}x{plate_height}, "
            f"the frame is {width}x{height}"
        )
        ratio = plate_width * height / (plate_height * width)  # of the shapes as stored
        shown = ratio * float(self._aspect / frame.aspect)
        if min(abs(ratio - 1), abs(shown - 1)) > ASPECT_TOLERANCE:
            raise FrameError(
                found, hint="Take both with the same camera and settings, without moving it."
            )
        self._note_once(f"{found}; the plate is resized.")
        image = Image.fromarray(plate).resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(image, np.uint8)

    def _note_once(self, text: str) -> None:
        if not self._is_noted:
            self._note(text)
            self._is_noted = True
