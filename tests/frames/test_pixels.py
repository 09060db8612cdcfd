"""Pictures as arrays: the fast decoder gives what Pillow gives, and leaves it what is special."""

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
from toolchain.frames.pictures import opened
from toolchain.frames.pixels import grey, rgb, rgba
from toolchain.frames.plain_png import plain_png

CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}


def drawn(mode: str, width: int, height: int, seed: int = 1) -> Image.Image:
    """A picture with flat, smooth and noisy parts, so that all of PNG's filters are used."""
    random = np.random.default_rng(seed)
    ramp = np.add.outer(np.arange(height), 3 * np.arange(width))[..., None]
    noise = random.integers(0, 256, (height, width, CHANNELS[mode]))
    pixels = np.where(ramp % 5 == 0, noise, ramp % 256) * (ramp > width)
    return Image.fromarray(pixels.astype(np.uint8).squeeze(2 if mode == "L" else ()), mode)


def as_png(picture: Image.Image, **options: object) -> bytes:
    """The bytes of a PNG file."""
    stream = io.BytesIO()
    picture.save(stream, "PNG", **options)  # type: ignore[arg-type]
    return stream.getvalue()


@given(
    mode=st.sampled_from(sorted(CHANNELS)),
    width=st.integers(1, 70),
    height=st.integers(1, 40),
    level=st.integers(0, 9),
    seed=st.integers(0, 99),
)
def test_plain_pictures_are_what_pillow_makes_of_them(
    mode: str, width: int, height: int, level: int, seed: int
) -> None:
    """Grey, RGB and RGBA of any size and compression: the same bytes either way."""
    data = as_png(drawn(mode, width, height, seed), compress_level=level)
    found = plain_png(data, (CHANNELS[mode],))
    assert found is not None
    picture = opened(Path("x.png"), data)
    assert np.array_equal(found.reshape(height, width, -1), np.atleast_3d(np.asarray(picture)))
    assert np.array_equal(rgb(Path("x.png"), data), np.asarray(picture.convert("RGB")))
    assert np.array_equal(grey(Path("x.png"), data), np.asarray(picture.convert("L")))
    cutout = rgba(Path("x.png"), data)
    assert (cutout is None) == (mode != "RGBA")
    assert cutout is None or np.array_equal(cutout, np.asarray(picture))


def turned() -> bytes:
    """A picture that was held sideways."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return as_png(drawn("RGB", 20, 10), exif=exif)


def with_a_transparent_colour() -> bytes:
    """RGB where one colour counts as transparent."""
    return as_png(drawn("RGB", 20, 10), transparency=(0, 0, 0))


def moving() -> bytes:
    """Two pictures in one file."""
    other = drawn("RGB", 20, 10, 2)
    return as_png(drawn("RGB", 20, 10), save_all=True, append_images=[other])


def of_sixteen_bits() -> bytes:
    """Grey with 65,536 tones."""
    return as_png(Image.fromarray(np.arange(200, dtype=np.uint16).reshape(10, 20) * 300))


def with_a_palette() -> bytes:
    """Indices into colours."""
    return as_png(drawn("RGB", 20, 10).quantize(16))


def with_a_comment() -> bytes:
    """Nothing special, but chunks that the pixels don't need."""
    info = PngImagePlugin.PngInfo()
    info.add_text("about", "words " * 50)
    return as_png(drawn("RGBA", 20, 10), pnginfo=info, dpi=(72, 72))


def a_jpeg() -> bytes:
    """No PNG, whatever its name says."""
    stream = io.BytesIO()
    drawn("RGB", 20, 10).save(stream, "JPEG")
    return stream.getvalue()


@pytest.mark.parametrize(
    "make",
    [
        turned, with_a_transparent_colour, moving, of_sixteen_bits, with_a_palette, with_a_comment,
        a_jpeg,
    ],
)  # fmt: skip
def test_special_pictures_are_what_pillow_makes_of_them(make: Callable[[], bytes]) -> None:
    """What the fast decoder does not know is decoded as it always was."""
    data, path = make(), Path("x.png")
    picture = opened(path, data)
    assert np.array_equal(rgb(path, data), np.asarray(picture.convert("RGB")))
    cutout = rgba(path, data)
    if make in (with_a_transparent_colour, with_a_comment):
        assert np.array_equal(cutout, np.asarray(picture.convert("RGBA")))
    else:
        assert cutout is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "huge", "empty"])
def test_damaged_files_are_refused_with_pillows_reason(damage: str, tmp_path: Path) -> None:
    """The file and what is wrong with it are named, whoever would have decoded it."""
    data = bytearray(as_png(drawn("RGB", 200, 100)))
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
    assert plain_png(bytes(data), (3,)) is None
    for read in (rgb, rgba, grey):
        with pytest.raises(FrameError, match=r"x\.png: ") as refused:
            read(path)
        with pytest.raises(FrameError) as expected:
            opened(path)
        assert str(refused.value) == str(expected.value)


def test_files_are_read_by_their_content_and_missing_ones_named(tmp_path: Path) -> None:
    """A path alone will do; where nothing is, the path is told."""
    path = tmp_path / "x.png"
    drawn("RGB", 30, 20).save(path)
    assert np.array_equal(rgb(path), np.asarray(Image.open(path)))
    with pytest.raises(FrameError, match="gone"):
        rgb(tmp_path / "gone.png")
