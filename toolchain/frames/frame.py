"""A frame with its clean plate."""

from __future__ import annotations

from dataclasses import dataclass

from toolchain.definitions.arrays import Floats, Pixels

Size = tuple[int, int]  # width, height in pixels


@dataclass(frozen=True)
class Frame:
    """A frame, its clean plate and, where it is known, its ground truth.

    Attributes:
        name: Name used in messages and reports.
        src: The frame, H x W x 3, uint8, RGB.
        bgr: The clean plate, H x W x 3, uint8, RGB.
        alpha: True alpha, H x W, float32, 0..1, or None.
        foreground: True foreground, H x W x 3, float32, RGB, 0..1, defined at every pixel, or None.
    """

    name: str
    src: Pixels
    bgr: Pixels
    alpha: Floats | None = None
    foreground: Floats | None = None
