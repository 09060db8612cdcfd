"""Picture files: which they are, and opening them."""

from __future__ import annotations

import io
import math
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from toolchain.errors import FrameError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


def opened(path: Path, data: bytes | None = None) -> Image.Image:
    """The picture at `path`, decoded to its end and upright; `data`: its bytes, if read already.

    Raises FrameError for a file that is missing, truncated or no picture.
    """
    try:
        source = path if data is None else io.BytesIO(data)
        with Image.open(source) as picture:
            _refuse_bombs(picture)
            picture.load()
            upright: Image.Image = ImageOps.exif_transpose(picture)
            return upright
    # Pillow's decoders raise what they like for a damaged file; the file is the cause.
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError) as error:
        raise FrameError(
            f"{path}: not a whole picture: {_reason(error)}",
            kept="Nothing was changed.",
            hint="Replace it or take it out of the folder.",
            path=path,
        ) from error


def picture_files(folder: Path) -> list[Path]:
    """The picture files in `folder` itself, in order of name."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _refuse_bombs(picture: Image.Image) -> None:
    # Pillow only warns, and filters of warnings are not made for threads.
    if picture.width * picture.height > (Image.MAX_IMAGE_PIXELS or math.inf):
        raise ValueError(f"{_size(picture)} pixels are too many")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    # Pillow names the object that it could not identify; with bytes that says nothing.
    return "no known format" if isinstance(error, UnidentifiedImageError) else str(error)


def _size(picture: Image.Image) -> str:
    return f"{picture.width}x{picture.height}"
