"""Messages as bytes: pictures in, mattes out."""

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
from toolchain.serve.limits import PIXELS

HEAD = struct.Struct("<BI")  # kind, number
REPLY = struct.Struct("<IIff")  # number, dropped, ms of the model, ms of everything here
KINDS: dict[int, Literal["plate", "frame"]] = {1: "plate", 2: "frame"}
QUALITY = 90


@dataclass(frozen=True)
class Sent:
    """`picture`: a JPEG or WebP file."""

    kind: Literal["plate", "frame"]
    number: int
    picture: bytes


def parsed(data: bytes) -> Sent:
    """A message of a viewer.  Raises FrameError for what is none."""
    if len(data) <= HEAD.size or data[0] not in KINDS:
        raise FrameError("a message that is neither a frame nor a plate")
    kind, number = HEAD.unpack_from(data)
    return Sent(KINDS[kind], number, data[HEAD.size :])


def decoded(picture: bytes) -> Pixels:
    """H x W x 3 uint8 RGB.  Raises FrameError for no JPEG or WebP, or one of too many pixels."""
    try:
        with Image.open(io.BytesIO(picture), formats=("JPEG", "WEBP")) as opened:
            if opened.width * opened.height > PIXELS:
                size = f"{opened.width}x{opened.height}"
                raise FrameError(f"a picture of {size}; at most {PIXELS} pixels are taken")
            return np.asarray(opened.convert("RGB"), np.uint8)
    # Pillow's decoders raise what they like for a damaged picture.
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError) as error:
        raise FrameError("a picture that is no whole JPEG or WebP") from error


def reply(number: int, dropped: int, matte: Matte, seconds: float) -> bytes:
    """A matte of bytes as a message.  `seconds`: since the frame was taken up."""
    bands = (np.vstack([matte.foreground[..., channel], matte.alpha]) for channel in range(3))
    both = Image.merge("RGB", [Image.fromarray(band) for band in bands])
    buffer = io.BytesIO()
    buffer.write(REPLY.pack(number, dropped, matte.seconds * 1000, seconds * 1000))
    both.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def choice(text: str) -> dict[str, Any]:
    """What a viewer wants otherwise.  Raises FrameError for what is no JSON object."""
    try:
        told = json.loads(text)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise FrameError("a message that is no JSON object")
    return told
