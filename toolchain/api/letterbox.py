"""Pictures of any size in a model of fixed size, and its mattes brought back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from toolchain.definitions.arrays import Pixels

Size = tuple[int, int]
Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Fit:
    """How a picture of size `outer` stands in a model's of size `inner` (width, height).

    It is scaled alike in both directions and stands in the middle; what is left over is black in
    frame and plate, which makes it background.
    """

    outer: Size
    inner: Size

    @cached_property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of the picture inside."""
        (width, height), (wide, high) = self.outer, self.inner
        scale = min(wide / width, high / height)
        w, h = (max(1, round(side * scale)) for side in self.outer)
        left, top = (wide - w) // 2, (high - h) // 2
        return left, top, left + w, top + h

    def into(self, picture: Pixels) -> Pixels:
        """H x W x 3 uint8 of `outer` -> of `inner`, with Pillow's BILINEAR; itself if it fits."""
        if self.outer == self.inner:
            return np.ascontiguousarray(picture)
        left, top, right, bottom = self.box
        small = np.asarray(_resized(Image.fromarray(picture), (right - left, bottom - top)))
        if small.shape[:2] == self.inner[::-1]:
            return small
        filled = np.zeros((self.inner[1], self.inner[0], 3), np.uint8)
        filled[top:bottom, left:right] = small
        return filled

    def alpha(self, alpha: Values) -> Values:
        """H x W of `inner` -> of `outer`, uint8 or float32 as it was."""
        if self.outer == self.inner:
            return alpha
        return np.array(_resized(Image.fromarray(self._cut(alpha)), self.outer))

    def foreground(self, foreground: Values, inside: Pixels, picture: Pixels) -> Values:
        """H x W x 3 of `inner` -> of `outer`, uint8 or float32 0..1 as it was.

        As the network does between its own scales: what it changed in the frame is resized, and
        added to the frame itself.  So opaque places keep the frame's detail.
        `inside`: the frame in the model, `picture`: as it came.
        """
        if self.outer == self.inner:
            return foreground
        top = 255 if foreground.dtype == np.uint8 else 1
        change = self._cut(foreground).astype(np.float32) * (255 / top) - self._cut(inside)
        back = np.empty(picture.shape, np.float32)
        for channel in range(3):
            plane = np.ascontiguousarray(change[..., channel])
            back[..., channel] = np.asarray(_resized(Image.fromarray(plane), self.outer))
        back += picture
        np.clip(back, 0, 255, out=back)
        if foreground.dtype == np.uint8:
            return np.rint(back, out=back).astype(np.uint8)
        back /= 255
        return back

    def _cut(self, values: Values) -> Values:
        left, top, right, bottom = self.box
        return np.ascontiguousarray(values[top:bottom, left:right])


def _resized(picture: Image.Image, size: Size) -> Image.Image:
    if picture.size == size:
        return picture
    return picture.resize(size, Image.Resampling.BILINEAR)
