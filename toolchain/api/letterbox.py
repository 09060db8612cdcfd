"""Letterboxing: resizes images to the model's input size, and restores mattes to theirs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from toolchain.definitions.arrays import Array, Pixels

Size = tuple[int, int]  # width, height


@dataclass(frozen=True)
class Letterbox:
    """Placement of an image in the model's input.

    The image is scaled with its aspect ratio kept, and centred. The padding is the reflection of
    the image, in both the frame and the clean plate, so the model sees no border.

    Attributes:
        image_size: Width and height of the image.
        model_size: Width and height of the model's input.
    """

    image_size: Size
    model_size: Size

    @cached_property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the scaled image in the model's input, in pixels."""
        (width, height), (model_width, model_height) = self.image_size, self.model_size
        scale = min(model_width / width, model_height / height)
        scaled_width, scaled_height = (max(1, round(side * scale)) for side in self.image_size)
        left, top = (model_width - scaled_width) // 2, (model_height - scaled_height) // 2
        return left, top, left + scaled_width, top + scaled_height

    def apply(self, image: Pixels) -> Pixels:
        """Resize an image to the model's input size, with bilinear filtering and padding.

        Args:
            image: H x W x 3, uint8, of `image_size`.

        Returns:
            H x W x 3, uint8, of `model_size`; the image itself if the sizes are equal.
        """
        if self.image_size == self.model_size:
            return np.ascontiguousarray(image)
        left, top, right, bottom = self.box
        scaled = np.asarray(_resize(Image.fromarray(image), (right - left, bottom - top)))
        if scaled.shape[:2] == self.model_size[::-1]:
            return scaled
        # With black a figure that the border cuts seems to end there.
        width, height = self.model_size
        sides = ((top, height - bottom), (left, width - right), (0, 0))
        return np.pad(scaled, sides, mode="symmetric")

    def restore_alpha(self, alpha: Array) -> Array:
        """Resize the model's alpha to the size of the image.

        Args:
            alpha: H x W of `model_size`, uint8 or float32.

        Returns:
            H x W of `image_size`, of the same type.
        """
        if self.image_size == self.model_size:
            return alpha
        return np.array(_resize(Image.fromarray(self._crop(alpha)), self.image_size))

    def restore_foreground(self, foreground: Array, resized: Pixels, image: Pixels) -> Array:
        """Restore the model's foreground to the size of the image.

        The difference between the foreground and the resized frame is resized, and added to the
        frame at its own size. The network upsamples its foreground residual in the same way.
        Opaque regions keep the detail of the frame.

        Args:
            foreground: H x W x 3 of `model_size`, uint8 or float32 in 0..1.
            resized: The frame as the model got it, H x W x 3, uint8, of `model_size`.
            image: The frame, H x W x 3, uint8, of `image_size`.

        Returns:
            H x W x 3 of `image_size`, of the type and range of `foreground`.
        """
        if self.image_size == self.model_size:
            return foreground
        maximum = 255 if foreground.dtype == np.uint8 else 1
        residual = self._crop(foreground).astype(np.float32) * (255 / maximum)
        residual -= self._crop(resized)
        restored = np.empty(image.shape, np.float32)
        for channel in range(3):
            plane = np.ascontiguousarray(residual[..., channel])
            restored[..., channel] = np.asarray(_resize(Image.fromarray(plane), self.image_size))
        restored += image
        np.clip(restored, 0, 255, out=restored)
        if foreground.dtype == np.uint8:
            return np.rint(restored, out=restored).astype(np.uint8)
        restored /= 255
        return restored

    def _crop(self, values: Array) -> Array:
        left, top, right, bottom = self.box
        return np.ascontiguousarray(values[top:bottom, left:right])


def _resize(image: Image.Image, size: Size) -> Image.Image:
    if image.size == size:
        return image
    return image.resize(size, Image.Resampling.BILINEAR)
