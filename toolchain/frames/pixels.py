"""Image files as arrays of bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from toolchain.definitions.arrays import Pixels
from toolchain.frames.colour import convert_to_grey, convert_to_srgb
from toolchain.frames.fast_png import decode_png
from toolchain.frames.frame import Size
from toolchain.frames.image_files import open_image
from toolchain.frames.image_header import has_alpha


def read_rgb(path: Path, data: bytes | None = None) -> Pixels:
    """Read an image as sRGB, with its EXIF orientation and its colour profile applied.

    Args:
        path: The image file.
        data: Content of the file, if it was read already.

    Returns:
        H x W x 3, uint8.

    Raises:
        FrameError: The file does not exist, is truncated, or is not an image.
    """
    pixels = _decode_fast(path, data, 3, 4)
    return pixels[..., :3] if pixels is not None else convert_to_srgb(open_image(path, data), "RGB")


def read_rgba(path: Path, data: bytes | None = None) -> Pixels | None:
    """Read an image as RGBA, H x W x 4; None if it has no alpha channel.  See `read_rgb`."""
    pixels = _decode_fast(path, data, 4)
    if pixels is not None:
        return pixels
    image = open_image(path, data)
    return convert_to_srgb(image, "RGBA") if has_alpha(image) else None


def read_grey(path: Path, data: bytes | None = None) -> Pixels:
    """Read an image as grey, H x W, without its colour profile.  See `read_rgb`."""
    pixels = _decode_fast(path, data, 1)
    return pixels[..., 0] if pixels is not None else convert_to_grey(open_image(path, data))


def resize(pixels: Pixels, size: Size) -> Pixels:
    """Resize an H x W x 3 image to `size` with Pillow's BILINEAR; unchanged if it has that size."""
    if get_size(pixels) == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR), np.uint8)


def get_size(pixels: Pixels) -> Size:
    """Return width and height of an image."""
    return pixels.shape[1], pixels.shape[0]


def _decode_fast(path: Path, data: bytes | None, *channels: int) -> Pixels | None:
    """Decode a PNG with the fast decoder; None if that is not possible."""
    if data is None:
        if path.suffix.lower() != ".png":
            return None
        try:
            data = path.read_bytes()
        except OSError:
            return None
    return decode_png(data, channels)
