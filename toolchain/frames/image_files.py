"""Image files: find them in folders, and open them with Pillow."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from toolchain.errors import FrameError

# Other decoders of Pillow are never tried: that of EPS starts a program.
FORMATS = ("PNG", "JPEG", "BMP", "DIB", "WEBP", "TIFF", "GIF", "JPEG2000", "PPM", "AVIF")
TGA_SUFFIXES = (".tga", ".icb", ".vda", ".vst")  # TGA has no signature, so the suffix decides
HEIF_SUFFIXES = (".heic", ".heif", ".hif")
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif"),
    *(".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm", ".avif"),
    *TGA_SUFFIXES,
    *HEIF_SUFFIXES,
)
# Pillow's own limit is below the 108 and 200 megapixels of phones.
LIMIT_VARIABLE = "MATTING_MAX_PIXELS"
MAX_PIXELS = 256_000_000


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
        image: Image.Image
        with Image.open(source, formats=choose_formats(path, data)) as image:
            _check_pixel_count(image)
            image.load()
            _turn_upright(image)
            return image
    except FrameError:
        raise
    except MemoryError:
        raise
    # Pillow's decoders raise exceptions of many types for a damaged file.
    except Exception as error:
        raise FrameError(
            f"{path}: cannot read the image: {_describe(error)}",
            hint=f"Raise the limit by the environment variable {LIMIT_VARIABLE}."
            if isinstance(error, (_TooLargeError, *TOO_LARGE))
            else "Replace the file, or remove it from the folder.",
            path=path,
        ) from error


def is_image(path: Path) -> bool:
    """Whether a file is a still image, by its suffix or, for any other suffix, by its content.

    A GIF of several frames is a video.
    """
    suffix = path.suffix.lower()
    if suffix in SUFFIXES and suffix != ".gif":
        return True
    try:
        with Image.open(path, formats=choose_formats(path)) as image:
            return image.format != "GIF" or getattr(image, "n_frames", 1) == 1
    except FrameError:
        return True  # the reader reports why it cannot be read
    except Exception:  # noqa: BLE001 - as in open_image
        return suffix == ".gif"


def choose_formats(path: Path, data: bytes | None = None) -> tuple[str, ...]:
    """Return the names of Pillow's decoders to try for a file.

    Raises:
        FrameError: It is a HEIC or HEIF image, and pillow-heif is not installed.
    """
    if path.suffix.lower() in TGA_SUFFIXES:
        return (*FORMATS, "TGA")
    if data is None:
        with path.open("rb") as stream:
            data = stream.read(12)
    if data[4:8] != b"ftyp" or data[8:12] not in HEIF_BRANDS:
        return FORMATS
    try:
        pillow_heif = import_module("pillow_heif")
    except ImportError as error:
        raise FrameError(
            f"{path}: cannot read the image: HEIC and HEIF need pillow-heif, "
            "which is not installed",
            hint="Install it: `pip install 'background-matting-toolchain[heif]'`, "
            "or convert the image to PNG or JPEG.",
            path=path,
        ) from error
    pillow_heif.register_heif_opener()
    return (*FORMATS, "HEIF")


def get_max_pixels() -> int:
    """Return the limit of the pixels of an image, from the environment if it is set there."""
    text = os.environ.get(LIMIT_VARIABLE, "")
    return int(text) if text.isdecimal() else MAX_PIXELS


# Above this Pillow warns, and above twice this it refuses; `_check_pixel_count` refuses before.
Image.MAX_IMAGE_PIXELS = get_max_pixels()
# Damaged EXIF data of a JPEG does not matter.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")
TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)


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


class _TooLargeError(ValueError):
    """An image with more pixels than the limit."""


def _check_pixel_count(image: Image.Image) -> None:
    # Pillow only warns, and warning filters are not thread-safe.
    limit = get_max_pixels()
    if image.width * image.height > limit:
        raise _TooLargeError(
            f"{image.width}x{image.height} pixels are more than the limit of {limit}"
        )


def _turn_upright(image: Image.Image) -> None:
    # Pillow raises exceptions of many types for damaged EXIF data. The pixels are good.
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)


def _describe(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    # Pillow's own message names a BytesIO object, which does not help the user.
    return "unknown image format" if isinstance(error, UnidentifiedImageError) else str(error)
