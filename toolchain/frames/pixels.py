"""Picture files as arrays of bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from toolchain.definitions.arrays import Pixels
from toolchain.frames.headers import has_alpha
from toolchain.frames.pictures import opened
from toolchain.frames.plain_png import plain_png

Size = tuple[int, int]  # width, height


def rgb(path: Path, data: bytes | None = None) -> Pixels:
    """H x W x 3 uint8 of the picture at `path`, upright; `data`: its bytes, if read already.

    Raises FrameError as `opened` does.
    """
    pixels = _plain(path, data, 3, 4)
    return pixels[..., :3] if pixels is not None else _converted(opened(path, data), "RGB")


def rgba(path: Path, data: bytes | None = None) -> Pixels | None:
    """H x W x 4 uint8; None for a picture without an alpha channel.  See `rgb`."""
    pixels = _plain(path, data, 4)
    if pixels is not None:
        return pixels
    picture = opened(path, data)
    return _converted(picture, "RGBA") if has_alpha(picture) else None


def grey(path: Path, data: bytes | None = None) -> Pixels:
    """H x W uint8.  See `rgb`."""
    pixels = _plain(path, data, 1)
    return pixels[..., 0] if pixels is not None else _converted(opened(path, data), "L")


def fitted(pixels: Pixels, size: Size) -> Pixels:
    """H x W x 3 uint8 of `size`, resized with Pillow's BILINEAR if need be."""
    if size_of(pixels) == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR), np.uint8)


def size_of(pixels: Pixels) -> Size:
    """Width and height."""
    return pixels.shape[1], pixels.shape[0]


def _plain(path: Path, data: bytes | None, *channels: int) -> Pixels | None:
    """Decoded the fast way, where that can be done and gives one of so many channels."""
    if data is None:
        if path.suffix.lower() != ".png":
            return None
        try:
            data = path.read_bytes()
        except OSError:
            return None
    return plain_png(data, channels)


def _converted(picture: Image.Image, mode: str) -> Pixels:
    return np.asarray(picture.convert(mode), np.uint8)
