"""Messages of the WebSocket: images in, mattes out. The format is described in the package."""

from __future__ import annotations

import io
import json
import struct
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image

from toolchain.api.matte import Matte
from toolchain.definitions.arrays import Pixels
from toolchain.errors import FrameError
from toolchain.serve.limits import MAX_PIXELS

REQUEST_HEADER = struct.Struct("<BI")  # kind, number
REPLY_HEADER = struct.Struct("<IIff")  # number, dropped, ms of inference, ms of all work
KINDS: dict[int, Literal["plate", "frame"]] = {1: "plate", 2: "frame"}
JPEG_QUALITY = 90


@dataclass(frozen=True)
class ImageMessage:
    """A frame or a clean plate from a viewer.

    Attributes:
        kind: "plate" or "frame".
        number: Number that the viewer gave it.
        data: A JPEG or WebP file.
    """

    kind: Literal["plate", "frame"]
    number: int
    data: bytes


def parse_image_message(data: bytes) -> ImageMessage:
    """Parse a binary message of a viewer.

    Raises:
        FrameError: The message is too short, or of an unknown kind.
    """
    if len(data) <= REQUEST_HEADER.size or data[0] not in KINDS:
        raise FrameError("invalid message: neither a frame nor a clean plate")
    kind, number = REQUEST_HEADER.unpack_from(data)
    return ImageMessage(KINDS[kind], number, data[REQUEST_HEADER.size :])


def parse_options(text: str) -> dict[str, Any]:
    """Parse a JSON message of a viewer.

    Raises:
        FrameError: The message is not a JSON object.
    """
    try:
        options = json.loads(text)
    except (ValueError, RecursionError):
        options = None
    if not isinstance(options, dict):
        raise FrameError("invalid message: not a JSON object")
    return options


def decode_image(data: bytes) -> Pixels:
    """Decode a JPEG or WebP file.

    Returns:
        H x W x 3, uint8, RGB.

    Raises:
        FrameError: The file is damaged, in another format, or has too many pixels.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "WEBP")) as image:
            width, height = image.size
            if width * height <= MAX_PIXELS:
                return np.asarray(image.convert("RGB"), np.uint8)
    # Pillow's decoders raise errors of any type for a damaged file.
    except Exception as error:
        raise FrameError("the image is not a complete JPEG or WebP file") from error
    raise FrameError(f"the image is {width}x{height}; the limit is {MAX_PIXELS} pixels")


def encode_reply(number: int, dropped: int, matte: Matte, seconds: float) -> bytes:
    """Encode the reply to a frame.

    Args:
        number: Number of the frame.
        dropped: Number of frames dropped so far.
        matte: The matte, as uint8.
        seconds: Time of all work on the frame.

    Returns:
        The binary message.
    """
    bands = (np.vstack([matte.foreground[..., channel], matte.alpha]) for channel in range(3))
    image = Image.merge("RGB", [Image.fromarray(band) for band in bands])
    buffer = io.BytesIO()
    buffer.write(REPLY_HEADER.pack(number, dropped, matte.seconds * 1000, seconds * 1000))
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
