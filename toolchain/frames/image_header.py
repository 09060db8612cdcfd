"""Size and alpha channel of an image file, read without decoding its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from toolchain.errors import FrameError
from toolchain.frames.frame import Size
from toolchain.frames.image_files import choose_formats, open_image

END_MARKERS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9"}
ORIENTATION = 0x0112  # EXIF tag
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height


@dataclass(frozen=True)
class ImageHeader:
    """What the header of an image file states.

    Attributes:
        size: Width and height after the EXIF orientation is applied.
        has_alpha: Whether there is an alpha channel or a transparent colour.
    """

    size: Size
    has_alpha: bool


def read_header(path: Path) -> ImageHeader:
    """Read the header of an image file and check that the file has its end marker.

    Raises:
        FrameError: The file does not exist, is truncated, or is not an image.
    """
    try:
        formats = choose_formats(path)
        with path.open("rb") as stream, Image.open(stream, formats=formats) as image:
            size = image.size
            # Pillow decodes a whole PNG to look for EXIF data after the pixels.
            has_exif = image.format != "PNG" or "exif" in image.info
            if has_exif and image.getexif().get(ORIENTATION) in SIDEWAYS:
                size = (size[1], size[0])
            alpha = has_alpha(image)
            marker = END_MARKERS.get(image.format or "", b"")
            if marker:
                stream.seek(-min(len(marker), path.stat().st_size), 2)
                if stream.read() != marker:  # truncated, or followed by other data: decode it
                    open_image(path)
            return ImageHeader(size, alpha)
    except FrameError:
        raise
    except Exception:  # noqa: BLE001 - Pillow raises many types for damaged files and EXIF data
        opened = open_image(path)  # raises FrameError with the reason
        return ImageHeader(opened.size, has_alpha(opened))


def has_alpha(image: Image.Image) -> bool:
    """Whether the image has an alpha channel or a transparent colour."""
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
