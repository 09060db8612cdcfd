"""Backgrounds: transparency, a colour, an image, a video, or the blurred clean plate."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from fractions import Fraction
from typing import Protocol

import numpy as np
from PIL import Image, ImageColor, ImageFilter

from toolchain.api.letterbox import Size
from toolchain.api.matte import Matte
from toolchain.definitions.arrays import Pixels
from toolchain.errors import UsageError
from toolchain.frames.lru_cache import LruCache
from toolchain.run.source import Source
from toolchain.run.sources import open_source

BackgroundFill = Pixels | tuple[int, int, int] | None  # an image, a colour, or transparency
TRANSPARENT, BLUR = "transparent", "blur"
BLUR_SCALE = 8  # the plate is blurred at 1/8 of its size, which is faster and looks the same
BLUR_RADIUS = 1 / 60  # of the height
HINT = "Give a colour such as green or #204060, an image, a video, blur or transparent."


class Background(Protocol):
    """Source of the background of each frame."""

    def next_fill(self, size: Size, plate: Pixels, time: Fraction) -> BackgroundFill:
        """Return the background of the next frame.

        Args:
            size: Width and height of the frame.
            plate: Clean plate of the frame, H x W x 3, uint8, RGB.
            time: Seconds from the start of the output; it does not decrease.
        """

    def close(self) -> None:
        """Close open files."""


def open_background(text: str) -> Background:
    """Open the background that an argument names.

    Args:
        text: A colour, a path, "blur" or "transparent".

    Returns:
        The background.

    Raises:
        UsageError: It is none of these.
    """
    if text == TRANSPARENT:
        return SolidBackground(None)
    if text == BLUR:
        return BlurredPlate()
    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError:
        pass
    else:
        return SolidBackground((red, green, blue))
    try:
        source = open_source(text, "--background")
    except UsageError as error:
        raise UsageError(
            f"--background {text}: neither a colour nor an existing file", hint=HINT
        ) from error
    if source.kind == "camera":
        raise UsageError(f"--background {text}: a camera is not supported as background", hint=HINT)
    return SourceBackground(source)


class SolidBackground:
    """One colour, or transparency."""

    def __init__(self, colour: tuple[int, int, int] | None) -> None:
        self._colour = colour

    def next_fill(self, size: Size, plate: Pixels, time: Fraction) -> BackgroundFill:
        """See `Background.next_fill`."""
        return self._colour

    def close(self) -> None:
        """See `Background.close`."""


class BlurredPlate:
    """The blurred clean plate. A blurred frame would show the outline of the foreground."""

    def __init__(self) -> None:
        self._cache = LruCache(1)

    def next_fill(self, size: Size, plate: Pixels, time: Fraction) -> BackgroundFill:
        """See `Background.next_fill`."""
        # Keeping the plate with its blur ensures that no other array gets the same id.
        return self._cache.get_or_compute(id(plate), lambda: (plate, blur_plate(plate)))[1]

    def close(self) -> None:
        """See `Background.close`."""


class SourceBackground:
    """An image; or the images of a folder, one for each frame; or a video at its own speed.

    Folders and videos are repeated.
    """

    def __init__(self, source: Source) -> None:
        self._images = self._loop(source)
        self._kind = source.kind
        self._current, self._following = next(self._images), next(self._images, None)
        self._is_first = True
        self._cache = LruCache(1)

    def next_fill(self, size: Size, plate: Pixels, time: Fraction) -> BackgroundFill:
        """See `Background.next_fill`."""
        if self._kind == "folder":
            if not self._is_first:
                self._step()
            self._is_first = False
        while self._kind == "video" and self._following and self._following[0] <= time:
            self._step()
        start, image = self._current
        return self._cache.get_or_compute((start, size), lambda: scale_to_cover(image, size))

    def close(self) -> None:
        """See `Background.close`."""
        self._images.close()

    def _step(self) -> None:
        if self._following is not None:
            self._current, self._following = self._following, next(self._images, None)

    @staticmethod
    def _loop(source: Source) -> Generator[tuple[Fraction, Pixels], None, None]:
        """Yield every image with the time at which it is first shown, without end."""
        begin = Fraction(0)
        length: Fraction = 1 / (source.rate or Fraction(1))
        while source.kind != "image":
            end = begin
            with closing(source.frames()) as frames:
                for number, frame in enumerate(frames):
                    offset = Fraction(number) * length if frame.time is None else frame.time
                    yield begin + offset, frame.pixels
                    end = begin + offset + length
            begin = end
        with closing(source.frames()) as frames:
            yield begin, next(frames).pixels


def blur_plate(plate: Pixels) -> Pixels:
    """Blur a clean plate, H x W x 3, uint8."""
    height, width = plate.shape[:2]
    small = (max(1, width // BLUR_SCALE), max(1, height // BLUR_SCALE))
    image = Image.fromarray(plate).resize(small, Image.Resampling.BOX)
    image = image.filter(ImageFilter.GaussianBlur(height * BLUR_RADIUS / BLUR_SCALE))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC), np.uint8)


def scale_to_cover(image: Pixels, size: Size) -> Pixels:
    """Scale an image to cover a size, and crop it around its centre.

    Args:
        image: H x W x 3, uint8.
        size: Width and height.

    Returns:
        H x W x 3, uint8, of `size`.
    """
    width, height = image.shape[1], image.shape[0]
    if (width, height) == size:
        return image
    scale = max(size[0] / width, size[1] / height)
    crop_width, crop_height = size[0] / scale, size[1] / scale
    left, top = (width - crop_width) / 2, (height - crop_height) / 2
    box = (left, top, left + crop_width, top + crop_height)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, box), np.uint8)


def composite(matte: Matte, fill: BackgroundFill) -> Pixels:
    """Composite a matte over a background.

    Args:
        matte: The matte of a frame.
        fill: The background.

    Returns:
        H x W x 3, uint8, RGB; for transparency the cutout, H x W x 4, RGBA.
    """
    return matte.cutout() if fill is None else matte.over(fill)
