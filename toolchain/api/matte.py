"""`Matte`: alpha and foreground of one frame, its cutout and its composite over a background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolchain.definitions.arrays import Array, Pixels
from toolchain.errors import FrameError

ROWS = 32  # rows blended at a time, so that they stay in the processor's cache


@dataclass(frozen=True, eq=False)
class Matte:
    """The matte of one frame, of the frame's size.

    Both arrays are float32 in 0..1, or uint8 in 0..255 from a `Matting` with `as_bytes`.

    Attributes:
        alpha: H x W, opacity of the foreground at each pixel.
        foreground: H x W x 3, RGB, the colour of the foreground without the background (straight,
            not premultiplied). Undefined where alpha is 0. May be a view of planar memory.
        seconds: Inference time of this frame.
    """

    alpha: Array
    foreground: Array
    seconds: float = 0.0

    def cutout(self) -> Pixels:
        """Return the cutout as H x W x 4, uint8, RGBA with straight alpha."""
        return np.dstack([_to_bytes(self.foreground), _to_bytes(self.alpha)])

    def over(self, background: Pixels | tuple[int, int, int]) -> Pixels:
        """Composite the foreground over a background.

        Computes alpha * foreground + (1 - alpha) * background in 8 bits, rounded to nearest.

        Args:
            background: An image, H x W x 3, uint8, RGB, of the frame's size; or one RGB colour
                with values in 0..255.

        Returns:
            H x W x 3, uint8, RGB. A view of planar memory, which encoders read fastest.

        Raises:
            FrameError: The background differs in size from the frame.
        """
        alpha, foreground = _to_bytes(self.alpha), _to_bytes(self.foreground)
        if not isinstance(background, tuple) and background.shape != foreground.shape:
            raise FrameError(
                f"the background is {background.shape[1]}x{background.shape[0]}, "
                f"the frame is {alpha.shape[1]}x{alpha.shape[0]}",
                hint="Resize the background first.",
            )
        planes = np.empty((3, *alpha.shape), np.uint8)
        sums, products = np.empty((2, ROWS, alpha.shape[1]), np.uint16)
        for top in range(0, len(alpha), ROWS):
            rows = slice(top, top + ROWS)
            opacity = alpha[rows].astype(np.uint16)
            transparency = 255 - opacity
            total, product = sums[: len(opacity)], products[: len(opacity)]
            for channel, plane in enumerate(planes):
                if isinstance(background, tuple):
                    np.multiply(transparency, np.uint16(background[channel]), out=total)
                else:
                    np.multiply(transparency, background[rows, :, channel], out=total)
                total += np.multiply(foreground[rows, :, channel], opacity, out=product)
                # (x + 128 + (x + 128 >> 8)) >> 8 is x / 255, rounded to nearest.
                total += 128
                total += np.right_shift(total, 8, out=product)
                plane[rows] = np.right_shift(total, 8, out=product)
        composite: Pixels = planes.transpose(1, 2, 0)
        return composite


def _to_bytes(values: Array) -> Pixels:
    return np.asarray(values if values.dtype == np.uint8 else np.rint(values * 255), np.uint8)
