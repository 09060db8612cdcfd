"""What a picture file tells without being decoded: its size, its kind, whether its end is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from toolchain.errors import FrameError
from toolchain.frames.pictures import opened

ENDS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9"}
TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
ORIENTATION = 0x0112


@dataclass(frozen=True)
class Header:
    """`size`: width and height when upright.  `alpha`: whether there is such a channel."""

    size: tuple[int, int]
    alpha: bool


def header(path: Path) -> Header:
    """Look at a picture.  Raises FrameError if it is missing, no picture, or lacks its end."""
    try:
        with path.open("rb") as stream, Image.open(stream) as picture:
            size = picture.size
            # Asked for EXIF that is not at its head, a PNG is decoded.
            told = picture.format != "PNG" or "exif" in picture.info
            if told and picture.getexif().get(ORIENTATION) in TURNED:
                size = (size[1], size[0])
            alpha = has_alpha(picture)
            end = ENDS.get(picture.format or "", b"")
            if end:
                stream.seek(-min(len(end), path.stat().st_size), 2)
                if stream.read() != end:  # cut off, or followed by something: decoding tells
                    opened(path)
            return Header(size, alpha)
    except FrameError:
        raise
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError):
        opened(path)  # says what is wrong
        raise


def has_alpha(picture: Image.Image) -> bool:
    """Whether the picture has an alpha channel, or a transparent colour."""
    return picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
