"""What every source of frames gives."""

from __future__ import annotations

from dataclasses import dataclass

from toolchain.definitions.arrays import Floats, Pixels


@dataclass(frozen=True)
class Frame:
    """A frame and its clean plate, H x W x 3 uint8 RGB.

    `alpha`: the true matte, H x W float32, 0..1; `foreground`: the true foreground, H x W x 3
    float32, RGB 0..1, defined everywhere.  Both None where the truth is not known.
    """

    name: str
    src: Pixels
    bgr: Pixels
    alpha: Floats | None = None
    foreground: Floats | None = None
