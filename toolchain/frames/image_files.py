"""Image files: find them in folders, and open them with Pillow."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from toolchain.errors import FrameError

# Other decoders of Pillow are never tried: that of EPS starts a program.
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


def open_image(path: Path, data: bytes | None = None) -> Image.Image:
    """Open an image, decode all of it and apply its EXIF orientation.

    Args:
        path: The image file.
        data: Content of the file, if it was read already.

    Raises:
        FrameError: The file does not exist, is truncated, or is not an image.
    """
    try:
        source = path if data is None else io.BytesIO(data)
        with Image.open(source, formats=FORMATS) as image:
            _check_pixel_count(image)
            image.load()
            upright: Image.Image = ImageOps.exif_transpose(image)
            return upright
    # Pillow's decoders raise many types of exceptions for a damaged file.
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError) as error:
        raise FrameError(
            f"{path}: cannot read the image: {_describe(error)}",
            hint="Replace the file, or remove it from the folder.",
            path=path,
        ) from error


def list_images(folder: Path) -> list[Path]:
    """Return the image files in `folder` itself, sorted by name; hidden files are ignored."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def walk_images(folder: Path) -> Iterator[Path]:
    """Yield the image files in `folder` and its subfolders, sorted by name.

    Hidden folders and symbolic links to folders are ignored.
    """
    yield from list_images(folder)
    for subfolder in sorted(folder.iterdir()):
        is_followed = subfolder.is_dir() and not subfolder.is_symlink()
        if is_followed and not subfolder.name.startswith("."):
            yield from walk_images(subfolder)


def map_images_by_name(folder: Path) -> dict[str, Path]:
    """Map names to the image files in `folder` and its subfolders, sorted by name.

    Returns:
        Path relative to `folder` without suffix -> file.

    Raises:
        FrameError: Two files have the same name and differ in their suffix.
    """
    found: dict[str, Path] = {}
    for path in walk_images(folder):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise FrameError(
                f"{path}: has the same name as {found[name].name}",
                hint="Remove one of the two files.",
                path=path,
            )
        found[name] = path
    return dict(sorted(found.items()))


def _check_pixel_count(image: Image.Image) -> None:
    # Pillow only warns, and warning filters are not thread-safe.
    if image.width * image.height > (Image.MAX_IMAGE_PIXELS or math.inf):
        raise ValueError(f"{image.width}x{image.height} pixels are more than the limit")


def _describe(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    # Pillow's own message names a BytesIO object, which does not help the user.
    return "unknown image format" if isinstance(error, UnidentifiedImageError) else str(error)
