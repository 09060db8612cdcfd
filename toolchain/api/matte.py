"""What comes out for a frame, and what people make of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from toolchain.errors import FrameError
from toolchain.runtimes.base import Pixels


@dataclass(frozen=True, eq=False)
class Matte:
    """The matte of one frame, of the frame's size H x W.

    `alpha`: H x W, how much of each pixel is foreground.  `foreground`: H x W x 3, RGB, its colour
    without the background shining through (straight, not premultiplied; meaningless where alpha
    is 0).  Both float32, 0..1; from a `Matting` with `as_bytes` uint8, 0..255.
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

        alpha * foreground + (1 - alpha) * background, in 8 bits, rounded to nearest.
        Raises FrameError for a background of another size.
        """
        alpha, foreground = _bytes(self.alpha), _bytes(self.foreground)
        height, width = alpha.shape
        if isinstance(background, tuple):
            blended = Image.new("RGB", (width, height), background)
        elif background.shape == foreground.shape:
            blended = Image.fromarray(background)
        else:
            raise FrameError(
                f"the background is {background.shape[1]}x{background.shape[0]}, "
                f"the frame {width}x{height}",
                hint="Resize it first.",
            )
        blended.paste(Image.fromarray(foreground), mask=Image.fromarray(alpha))
        return np.asarray(blended, np.uint8)


def _bytes(values: npt.NDArray[Any]) -> Pixels:
    return np.asarray(values if values.dtype == np.uint8 else np.rint(values * 255), np.uint8)
