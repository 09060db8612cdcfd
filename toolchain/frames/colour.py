"""Decoded images of any depth and colour space as 8-bit sRGB or grey."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from toolchain.definitions.arrays import Pixels

BYTE, WORD, INTEGER, LONG = 2**8 - 1, 2**16 - 1, 2**31 - 1, 2**32 - 1  # largest values by depth
WORD_FORMATS = ("PNG", "PPM")  # formats whose mode I is 16 bits deep
DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
UNSIGNED, SAMPLE_FORMAT = 1, 339  # of the TIFF tag SampleFormat
FLOAT_LIMIT = 16.0  # floats up to here are in 0..1, with overshoot or highlights; else in 0..255
ENCODED_GAMMA, GAMMA_TOLERANCE = 1 / 2.2, 0.01  # gAMA of sRGB


def convert_to_srgb(image: Image.Image, mode: str) -> Pixels:
    """Convert a decoded image to sRGB, as browsers show it.

    The ICC profile is applied, or for a PNG without one its gAMA chunk. An invalid profile is
    ignored.

    Args:
        image: The image.
        mode: "RGB" or "RGBA".

    Returns:
        H x W x 3 or H x W x 4, uint8.
    """
    if image.mode in DEEP_MODES:
        return np.asarray(Image.fromarray(scale_to_bytes(image)).convert(mode), np.uint8)
    profile, gamma = image.info.get("icc_profile"), image.info.get("gamma")
    if profile and (converted := _apply_profile(image, profile, mode)) is not None:
        return np.asarray(converted, np.uint8)
    pixels = np.asarray(image.convert(mode), np.uint8)
    if gamma and image.format == "PNG" and "srgb" not in image.info:
        if abs(gamma - ENCODED_GAMMA) < GAMMA_TOLERANCE:
            return pixels
        pixels = np.dstack([_build_gamma_table(gamma)[pixels[..., :3]], pixels[..., 3:]])
    return pixels


def convert_to_grey(image: Image.Image) -> Pixels:
    """Convert a decoded image to H x W, uint8; values are scaled by depth, without a profile."""
    if image.mode in DEEP_MODES:
        return scale_to_bytes(image)
    return np.asarray(image.convert("L"), np.uint8)


def scale_to_bytes(image: Image.Image) -> Pixels:
    """Scale a grey image of 16 or 32 bits to 0..255, rounded to nearest.

    A file does not state the range of 32-bit integers and floats. For integers it is the smallest
    of 8, 16, 31 and 32 bits that contains the maximum, for floats 0..1 or else 0..255 or 0..65535.

    Args:
        image: An image of a mode in `DEEP_MODES`.

    Returns:
        H x W, uint8.
    """
    values = np.asarray(image)
    if values.dtype.kind == "f":
        values = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=1.0, neginf=0.0)
        highest = float(values.max(initial=0.0))
        top = 1.0 if highest <= FLOAT_LIMIT else BYTE if highest <= BYTE else WORD
        return _scale(values, top)
    if values.dtype.itemsize == 2:  # noqa: PLR2004
        return _scale(values, WORD)
    if getattr(image, "tag_v2", {}).get(SAMPLE_FORMAT, (0,)) in (UNSIGNED, (UNSIGNED,)):
        values = values.view(np.uint32)
    if image.format in WORD_FORMATS:
        return _scale(values, WORD)
    highest = int(values.max(initial=0))
    return _scale(values, next(top for top in (BYTE, WORD, INTEGER, LONG) if highest <= top))


def _scale(values: npt.NDArray[np.generic], top: float) -> Pixels:
    scaled = np.rint(np.clip(values.astype(np.float64) * (BYTE / top), 0, BYTE))
    return np.asarray(scaled, np.uint8)


def _apply_profile(image: Image.Image, profile: bytes, mode: str) -> Image.Image | None:
    """Convert from an ICC profile to sRGB; None if it is sRGB, or cannot be applied."""
    try:
        source = ImageCms.getOpenProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return None
        if image.mode in ("P", "PA", "LA") or "transparency" in image.info:
            image = image.convert("RGBA")
        output = "RGBA" if image.mode == "RGBA" else "RGB"
        converted = ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode=output
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return None if converted is None else converted.convert(mode)


def _build_gamma_table(gamma: float) -> Pixels:
    """Map bytes encoded with a gamma (PNG, chunk gAMA) to sRGB."""
    linear = (np.arange(256) / BYTE) ** (1 / gamma)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)  # noqa: PLR2004
    return np.asarray(np.rint(encoded * BYTE), np.uint8)
