"""What comes out for a frame, and what people make of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from toolchain.definitions.arrays import Pixels
from toolchain.errors import FrameError

STRIP = 32  # rows blended at a time, so that they stay in the processor's cache


@dataclass(frozen=True, eq=False)
class Matte:
    """The matte of one frame, of the frame's size H x W.

    `alpha`: H x W, how much of each pixel is foreground.  `foreground`: H x W x 3, RGB, its colour
    without the background shining through (straight, not premultiplied; meaningless where alpha
    is 0).  Both float32, 0..1; from a `Matting` with `as_bytes` uint8, 0..255, and the foreground
    maybe a view of planes.
    `seconds`: how long the model took for it.
    """

    alpha: npt.NDArray[Any]
    foreground: npt.NDArray[Any]
    seconds: float = 0.0

    def cutout(self) -> Pixels:
        """H x W x 4 uint8 RGBA, straight alpha: what PNG and ProRes 4444 hold."""
        return np.dstack([_bytes(self.foreground), _bytes(self.alpha)])

    def over(self, background: Pixels | tuple[int, int, int]) -> Pixels:
        """H x W x 3 uint8 RGB before `background`: such a picture, or one colour (0..255 each).

        alpha * foreground + (1 - alpha) * background, in 8 bits, rounded to nearest; a view of
        planes, as models and encoders have them.
        Raises FrameError for a background of another size.
        """
        alpha, foreground = _bytes(self.alpha), _bytes(self.foreground)
        if not isinstance(background, tuple) and background.shape != foreground.shape:
            raise FrameError(
                f"the background is {background.shape[1]}x{background.shape[0]}, "
                f"the frame {alpha.shape[1]}x{alpha.shape[0]}",
                hint="Resize it first.",
            )
        planes = np.empty((3, *alpha.shape), np.uint8)
        mixed, part = np.empty((2, STRIP, alpha.shape[1]), np.uint16)
        for top in range(0, len(alpha), STRIP):
            rows = slice(top, top + STRIP)
            cover = alpha[rows].astype(np.uint16)
            rest = 255 - cover
            mix, some = mixed[: len(cover)], part[: len(cover)]
            for channel, plane in enumerate(planes):
                if isinstance(background, tuple):
                    np.multiply(rest, np.uint16(background[channel]), out=mix)
                else:
                    np.multiply(rest, background[rows, :, channel], out=mix)
                mix += np.multiply(foreground[rows, :, channel], cover, out=some)
                mix += 128
                mix += np.right_shift(mix, 8, out=some)  # with the next shift: by 255, rounded
                plane[rows] = np.right_shift(mix, 8, out=some)
        blended: Pixels = planes.transpose(1, 2, 0)
        return blended


def _bytes(values: npt.NDArray[Any]) -> Pixels:
    return np.asarray(values if values.dtype == np.uint8 else np.rint(values * 255), np.uint8)
