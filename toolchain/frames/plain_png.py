"""PNGs without anything special, decoded three times as fast as Pillow does it."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

import numpy as np
from kornia_rs.io import decode_image_png_u8
from PIL import Image

from toolchain.definitions.arrays import Pixels

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MODES = {0: ("mono", 1), 2: ("rgb", 3), 6: ("rgba", 4)}  # by the header's type of colour
SPECIAL = {b"tRNS", b"eXIf", b"acTL"}  # a transparent colour, maybe turned, moving
CHUNK = struct.Struct(">I4s")
HEADER = struct.Struct(">IIBBBBB")
START = len(SIGNATURE) + CHUNK.size


def plain_png(data: bytes, channels: tuple[int, ...]) -> Pixels | None:
    """H x W x C uint8 of a whole PNG of 8 bits: C = 1 for grey, 3 for RGB, 4 for RGBA.

    None for all else, other numbers of channels and damaged files among them: Pillow takes them,
    and says what is wrong.
    """
    if not data.startswith(SIGNATURE + b"\0\0\0\x0dIHDR") or len(data) < START + HEADER.size:
        return None
    width, height, depth, colour, *_, interlaced = HEADER.unpack_from(data, START)
    mode, found = MODES.get(colour, ("", 0))
    plain = depth == 8 and not interlaced and not SPECIAL & set(_chunks(data))  # noqa: PLR2004
    if found not in channels or not plain or width * height > (Image.MAX_IMAGE_PIXELS or math.inf):
        return None
    try:
        return np.asarray(decode_image_png_u8(data, (height, width), mode), np.uint8)
    except Exception:  # noqa: BLE001 - it raises nothing narrower
        return None


def _chunks(data: bytes) -> Iterator[bytes]:
    """The kinds of the chunks before the pixels."""
    at = len(SIGNATURE)
    while at + CHUNK.size <= len(data):
        length, kind = CHUNK.unpack_from(data, at)
        if kind == b"IDAT":
            return
        yield kind
        at += CHUNK.size + length + 4
