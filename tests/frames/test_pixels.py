"""Image files as arrays: the fast decoder and Pillow give the same pixels and errors."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from toolchain.errors import FrameError
from toolchain.frames.fast_png import decode_png
from toolchain.frames.image_files import open_image
from toolchain.frames.pixels import read_grey, read_rgb, read_rgba

CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}


def make_image(mode: str, width: int, height: int, seed: int = 1) -> Image.Image:
    """Return an image with flat, smooth and noisy parts, so that all PNG filters are used."""
    random = np.random.default_rng(seed)
    ramp = np.add.outer(np.arange(height), 3 * np.arange(width))[..., None]
    noise = random.integers(0, 256, (height, width, CHANNELS[mode]))
    pixels = np.where(ramp % 5 == 0, noise, ramp % 256) * (ramp > width)
    return Image.fromarray(pixels.astype(np.uint8).squeeze(2 if mode == "L" else ()), mode)


def encode_png(image: Image.Image, **options: object) -> bytes:
    """Encode an image as a PNG file."""
    stream = io.BytesIO()
    image.save(stream, "PNG", **options)  # type: ignore[arg-type]
    return stream.getvalue()


@given(
    mode=st.sampled_from(sorted(CHANNELS)),
    width=st.integers(1, 70),
    height=st.integers(1, 40),
    level=st.integers(0, 9),
    seed=st.integers(0, 99),
)
def test_ordinary_images_are_decoded_as_by_pillow(
    mode: str, width: int, height: int, level: int, seed: int
) -> None:
    """Grey, RGB and RGBA of any size and compression have the same bytes from both decoders."""
    data = encode_png(make_image(mode, width, height, seed), compress_level=level)
    found = decode_png(data, (CHANNELS[mode],))
    assert found is not None
    image = open_image(Path("x.png"), data)
    assert np.array_equal(found.reshape(height, width, -1), np.atleast_3d(np.asarray(image)))
    assert np.array_equal(read_rgb(Path("x.png"), data), np.asarray(image.convert("RGB")))
    assert np.array_equal(read_grey(Path("x.png"), data), np.asarray(image.convert("L")))
    cutout = read_rgba(Path("x.png"), data)
    assert (cutout is None) == (mode != "RGBA")
    assert cutout is None or np.array_equal(cutout, np.asarray(image))


def sideways() -> bytes:
    """An image from a camera that was held sideways."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode_png(make_image("RGB", 20, 10), exif=exif)


def with_a_transparent_colour() -> bytes:
    """RGB with one transparent colour."""
    return encode_png(make_image("RGB", 20, 10), transparency=(0, 0, 0))


def animated() -> bytes:
    """Two images in one file."""
    other = make_image("RGB", 20, 10, 2)
    return encode_png(make_image("RGB", 20, 10), save_all=True, append_images=[other])


def with_sixteen_bits() -> bytes:
    """Grey, 16 bits per pixel."""
    return encode_png(Image.fromarray(np.arange(200, dtype=np.uint16).reshape(10, 20) * 300))


def with_a_palette() -> bytes:
    """Indices into a palette."""
    return encode_png(make_image("RGB", 20, 10).quantize(16))


def with_a_comment() -> bytes:
    """An ordinary image with additional chunks."""
    info = PngImagePlugin.PngInfo()
    info.add_text("about", "words " * 50)
    return encode_png(make_image("RGBA", 20, 10), pnginfo=info, dpi=(72, 72))


def jpeg() -> bytes:
    """A JPEG file with the suffix of a PNG."""
    stream = io.BytesIO()
    make_image("RGB", 20, 10).save(stream, "JPEG")
    return stream.getvalue()


@pytest.mark.parametrize(
    "make",
    [
        sideways, with_a_transparent_colour, animated, with_sixteen_bits, with_a_palette,
        with_a_comment, jpeg,
    ],
)  # fmt: skip
def test_all_other_images_are_decoded_by_pillow(make: Callable[[], bytes]) -> None:
    """The fast decoder leaves what it does not support to Pillow."""
    data, path = make(), Path("x.png")
    image = open_image(path, data)
    if make is not with_sixteen_bits:  # Pillow clips these
        assert np.array_equal(read_rgb(path, data), np.asarray(image.convert("RGB")))
    cutout = read_rgba(path, data)
    if make in (with_a_transparent_colour, with_a_comment):
        assert np.array_equal(cutout, np.asarray(image.convert("RGBA")))
    else:
        assert cutout is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "huge", "empty"])
def test_damaged_files_are_refused_with_the_reason_from_pillow(damage: str, tmp_path: Path) -> None:
    """The message names the file and the reason, whichever decoder would have read it."""
    data = bytearray(encode_png(make_image("RGB", 200, 100)))
    if damage == "cut":
        del data[len(data) // 2 :]
    elif damage == "flipped":
        data[len(data) // 2] ^= 255
    elif damage == "huge":
        data[16:24] = (1_000_000).to_bytes(4, "big") * 2
    else:
        data.clear()
    path = tmp_path / "x.png"
    path.write_bytes(data)
    assert decode_png(bytes(data), (3,)) is None
    for read in (read_rgb, read_rgba, read_grey):
        with pytest.raises(FrameError, match=r"x\.png: ") as refused:
            read(path)
        with pytest.raises(FrameError) as expected:
            open_image(path)
        assert str(refused.value) == str(expected.value)


def test_files_are_read_by_path_and_missing_ones_are_named(tmp_path: Path) -> None:
    """The content of the file is optional; the message of a missing file has its path."""
    path = tmp_path / "x.png"
    make_image("RGB", 30, 20).save(path)
    assert np.array_equal(read_rgb(path), np.asarray(Image.open(path)))
    with pytest.raises(FrameError, match="gone"):
        read_rgb(tmp_path / "gone.png")
