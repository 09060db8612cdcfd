"""Arrays as `data:` addresses: the same bytes for the same pixels."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from toolchain.definitions.arrays import Floats, Pixels

WIDEST = 1280  # pixels; wider frames are shown reduced by a whole factor
PHOTO_QUALITY = 82


def reduction(width: int, widest: int = WIDEST) -> int:
    """Return the integer factor by which an image of `width` pixels is reduced for display."""
    return max(1, -(-width // widest))


def grey(alpha: Floats, factor: int = 1) -> str:
    """H x W, 0..1 -> PNG of 8-bit greys, lossless but for the reduction; NaN is black."""
    return _png(_reduced(Image.fromarray(to_bytes(alpha)), factor))


def photo(rgb: Pixels, factor: int = 1) -> str:
    """H x W x 3 uint8 RGB -> WebP."""
    return _webp(_reduced(Image.fromarray(rgb), factor))


def cutout(alpha: Floats, foreground: Floats, factor: int = 1) -> str:
    """Alpha (H x W) and foreground (H x W x 3, RGB), 0..1 -> WebP whose alpha is lossless."""
    pixels = np.dstack([to_bytes(foreground), to_bytes(alpha)])
    return _webp(_reduced(Image.fromarray(pixels), factor))


def indexed(indices: Pixels, palette: Pixels) -> str:
    """H x W indices into an N x 3 RGB palette -> PNG."""
    image = Image.fromarray(indices).convert("P")
    image.putpalette(palette.tobytes())
    return _png(image)


def to_bytes(values: Floats) -> Pixels:
    """0..1 -> 0..255, rounded; NaN becomes 0."""
    finite = np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=0.0)
    return np.rint(np.clip(finite, 0, 1) * 255).astype(np.uint8)


def block_max(values: Floats, factor: int) -> Floats:
    """H x W -> the largest value of each `factor` x `factor` block."""
    if factor == 1:
        return values
    height, width = (-(-side // factor) * factor for side in values.shape)
    padded = np.zeros((height, width), values.dtype)
    padded[: values.shape[0], : values.shape[1]] = values
    blocks = padded.reshape(height // factor, factor, width // factor, factor)
    return np.asarray(blocks.max(axis=(1, 3)))


def _reduced(image: Image.Image, factor: int) -> Image.Image:
    return image if factor == 1 else image.reduce(factor)


def _png(image: Image.Image) -> str:
    return _address(image, "png", compress_level=6)


def _webp(image: Image.Image) -> str:
    return _address(image, "webp", quality=PHOTO_QUALITY, alpha_quality=100, method=4)


def _address(image: Image.Image, form: str, **options: int) -> str:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return f"data:image/{form};base64,{base64.b64encode(stream.getvalue()).decode()}"
