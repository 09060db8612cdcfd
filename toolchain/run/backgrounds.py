"""What stands behind the foreground: nothing, a colour, a picture, a video, the plate blurred."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from itertools import cycle
from typing import Protocol

import numpy as np
from PIL import Image, ImageColor, ImageFilter

from toolchain.api.letterbox import Size
from toolchain.definitions.arrays import Pixels
from toolchain.errors import UsageError
from toolchain.frames.recent import Recent
from toolchain.run.sources import Source, open_source

Behind = Pixels | tuple[int, int, int] | None
TRANSPARENT, BLUR = "transparent", "blur"
SHRINK = 8  # the plate is blurred at a fraction of its size, where it is quick and looks the same
STRENGTH = 1 / 60  # radius of the blur, of the height
KNOWN = "a colour such as green or #204060, a picture, a video, blur or transparent"


class Background(Protocol):
    """Something behind."""

    def next(self, size: Size, plate: Pixels) -> Behind:
        """What is behind the next frame, of `size` (width, height), taken before `plate`."""

    def close(self) -> None:
        """Let go of files."""


def open_background(given: str) -> Background:
    """What `given` names.  Raises UsageError for what is none of `KNOWN`."""
    if given == TRANSPARENT:
        return Plain(None)
    if given == BLUR:
        return Blurred()
    try:
        rgb = ImageColor.getrgb(given)
    except ValueError:
        pass
    else:
        return Plain((rgb[0], rgb[1], rgb[2]))
    try:
        source = open_source(given, "--background")
    except UsageError as error:
        raise UsageError(
            f"--background {given}: is no colour and no file", hint=f"Give {KNOWN}."
        ) from error
    if source.kind == "camera":
        raise UsageError("--background: a camera can't be behind", hint=f"Give {KNOWN}.")
    return Moving(source)


class Plain:
    """A colour, or nothing."""

    def __init__(self, colour: tuple[int, int, int] | None) -> None:
        self._colour = colour

    def next(self, size: Size, plate: Pixels) -> Behind:
        """See `Background.next`."""
        return self._colour

    def close(self) -> None:
        """See `Background.close`."""


class Blurred:
    """The clean plate out of focus: nobody's outline glows through, as it would from the frame."""

    def __init__(self) -> None:
        self._recent = Recent(1)

    def next(self, size: Size, plate: Pixels) -> Behind:
        """See `Background.next`."""
        # The plate is kept along with its blur, so that no other array gets its identity.
        return self._recent.get(id(plate), lambda: (plate, blurred(plate)))[1]

    def close(self) -> None:
        """See `Background.close`."""


class Moving:
    """A picture, or the frames of a folder or a video, over and over."""

    def __init__(self, source: Source) -> None:
        self._shots = self._endless(source)
        self._still = source.kind == "picture"
        self._recent = Recent(1)

    def next(self, size: Size, plate: Pixels) -> Behind:
        """See `Background.next`."""
        if self._still:
            return self._recent.get(size, lambda: filling(next(self._shots), size))
        return filling(next(self._shots), size)

    def close(self) -> None:
        """See `Background.close`."""
        self._shots.close()

    @staticmethod
    def _endless(source: Source) -> Generator[Pixels, None, None]:
        for _ in cycle((None,)):
            with closing(source.shots()) as shots:
                yield from (shot.pixels for shot in shots)


def blurred(plate: Pixels) -> Pixels:
    """H x W x 3 uint8, out of focus."""
    height, width = plate.shape[:2]
    small = (max(1, width // SHRINK), max(1, height // SHRINK))
    picture = Image.fromarray(plate).resize(small, Image.Resampling.BOX)
    picture = picture.filter(ImageFilter.GaussianBlur(height * STRENGTH / SHRINK))
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC), np.uint8)


def filling(picture: Pixels, size: Size) -> Pixels:
    """H x W x 3 uint8 of `size` (width, height): scaled to cover it, the middle of it."""
    (width, height), (wide, high) = (picture.shape[1], picture.shape[0]), size
    if (width, height) == size:
        return picture
    scale = max(wide / width, high / height)
    w, h = wide / scale, high / scale
    left, top = (width - w) / 2, (height - h) / 2
    cut = Image.fromarray(picture).resize(
        size, Image.Resampling.BILINEAR, (left, top, left + w, top + h)
    )
    return np.asarray(cut, np.uint8)
