"""Images of every depth and colour space have the pixels that a browser shows."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from toolchain.errors import FrameError
from toolchain.frames.fast_png import decode_png
from toolchain.frames.image_files import LIMIT_VARIABLE, is_image, open_image
from toolchain.frames.image_header import read_header
from toolchain.frames.pixels import read_grey, read_rgb, read_rgba

DEEP = (np.arange(1024).reshape(32, 32) * 64).astype(np.uint16)  # 16 bits
EXPECTED = np.rint(DEEP / 257).astype(np.uint8)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)  # type: ignore[arg-type]
    return stream.getvalue()


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (DEEP, "PNG"),
        (DEEP, "TIFF"),
        (DEEP.astype(">u2"), "TIFF"),
        (DEEP, "PPM"),
        (DEEP.astype(np.int32), "TIFF"),
        (EXPECTED.astype(np.int32), "TIFF"),
        (DEEP.astype(np.int32) * 32768 + DEEP // 2, "TIFF"),
        ((DEEP / 65535).astype(np.float32), "TIFF"),
        ((DEEP / 257).astype(np.float32), "TIFF"),
    ],
)
def test_deep_grey_is_scaled_to_eight_bits(values: np.ndarray, kind: str) -> None:
    """Integers of 16 and 32 bits and floats have the same 256 levels, as frame and as alpha."""
    data = encode(Image.fromarray(values), kind)
    assert np.abs(read_grey(Path("x"), data).astype(int) - EXPECTED).max() <= 1
    assert np.abs(read_rgb(Path("x"), data).astype(int) - EXPECTED[..., None]).max() <= 1


def test_unsigned_and_non_finite_values() -> None:
    """Unsigned 32-bit integers above 2^31 are no negative numbers; NaN is black, infinity white."""
    values = (DEEP.astype(np.uint64) * 65537).astype(np.uint32)
    image = Image.fromarray(values.view(np.int32))
    data = encode(image, "TIFF").replace(b"\x53\1\3\0\1\0\0\0\2", b"\x53\1\3\0\1\0\0\0\1")
    assert np.abs(read_grey(Path("x"), data).astype(int) - EXPECTED).max() <= 1
    floats = (DEEP / 65535).astype(np.float32)
    floats[0, :2] = np.nan, -np.inf
    assert read_grey(Path("x"), encode(Image.fromarray(floats), "TIFF"))[0, :2].tolist() == [0, 0]


def make_profile() -> bytes:
    """An RGB profile whose green and red are exchanged: sRGB with other primaries."""
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    red, green = lab.index(b"rXYZ"), lab.index(b"gXYZ")
    data = bytearray(lab)
    data[red : red + 4], data[green : green + 4] = data[green : green + 4], data[red : red + 4]
    return bytes(data).replace("sRGB".encode("utf-16-be"), "other".encode("utf-16-be")[:8])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_profiles_are_applied(kind: str) -> None:
    """A profile with red and green exchanged turns red into green; that of sRGB does nothing."""
    image = Image.new("RGB", (16, 16), (200, 40, 90))
    data = encode(image, kind, icc_profile=make_profile())
    assert np.abs(read_rgb(Path("x"), data)[8, 8].astype(int) - (40, 200, 90)).max() <= 3
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encode(image, kind, icc_profile=profile)
    assert np.abs(read_rgb(Path("x"), data)[8, 8].astype(int) - (200, 40, 90)).max() <= 3
    data = encode(image, kind, icc_profile=b"not a profile")
    assert np.abs(read_rgb(Path("x"), data)[8, 8].astype(int) - (200, 40, 90)).max() <= 3


def test_a_profile_keeps_alpha() -> None:
    """Colours of a cutout are converted, its alpha is not."""
    image = Image.new("RGBA", (8, 8), (200, 40, 90, 77))
    found = read_rgba(Path("x"), encode(image, "PNG", icc_profile=make_profile()))
    assert found is not None
    assert np.abs(found[4, 4].astype(int) - (40, 200, 90, 77)).max() <= 2


def with_gamma(value: int, *, srgb: bool = False) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", value.to_bytes(4, "big"))
    if srgb:
        info.add(b"sRGB", b"\0")
    return encode(Image.new("RGB", (8, 8), (55, 128, 255)), "PNG", pnginfo=info)


def test_the_gamma_of_a_png_is_applied() -> None:
    """Linear values (gAMA 1.0) are brightened as browsers do; the usual gamma and sRGB are not."""
    assert read_rgb(Path("x"), with_gamma(100_000))[4, 4].tolist() == [128, 188, 255]
    assert read_rgb(Path("x"), with_gamma(45_455))[4, 4].tolist() == [55, 128, 255]
    assert read_rgb(Path("x"), with_gamma(100_000, srgb=True))[4, 4].tolist() == [55, 128, 255]
    assert decode_png(with_gamma(100_000), (3,)) is None


def make_smooth() -> Image.Image:
    ramp = np.add.outer(np.arange(48), np.arange(64))
    return Image.fromarray(np.dstack([ramp, 110 - ramp, ramp // 2 + 90]).astype(np.uint8))


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [
        ("JPEG", ".jfif"), ("AVIF", ".avif"), ("JPEG2000", ".jp2"), ("GIF", ".gif"),
        ("TGA", ".tga"), ("PPM", ".ppm"), ("PNG", ""), ("WEBP", ".picture"), ("JPEG", ".mp4"),
    ],
)  # fmt: skip
def test_every_format_is_read(kind: str, suffix: str, tmp_path: Path) -> None:
    """A picture is recognized by suffix or content, and has its pixels."""
    path = tmp_path / f"picture{suffix}"
    make_smooth().save(path, kind)
    assert is_image(path)
    assert np.abs(read_rgb(path).astype(int) - np.asarray(make_smooth())).mean() < 4
    assert read_header(path).size == (64, 48)


def test_heic_is_whole_and_upright(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With pillow-heif a rotated HEIC is turned upright; without it the error names it."""
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = make_smooth().rotate(90, expand=True)
    path = tmp_path / "picture.heic"
    stored.save(path, quality=95, exif=exif.tobytes())
    assert is_image(path)
    assert np.abs(read_rgb(path).astype(int) - np.asarray(make_smooth())).mean() < 4
    assert read_header(path).size == (64, 48)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(FrameError, match="HEIC and HEIF need pillow-heif") as caught:
        read_rgb(path)
    assert "[heif]" in caught.value.hint


@pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin")
def test_damaged_exif_data_does_not_matter(tmp_path: Path) -> None:
    """The pixels of a JPEG are read whatever its EXIF block contains."""
    random = np.random.default_rng(5)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 1, "maker"
    good = exif.tobytes()
    expected = read_rgb(Path("x.jpg"), encode(make_smooth(), "JPEG"))
    blocks = [b"Exif\0\0", b"Exif\0\0MM\0*", b"Exif\0\0II*\0\xff\xff\xff\xff", good[:-9]]
    for _ in range(60):
        block = bytearray(good)
        for place in random.integers(6, len(block), 4):
            block[place] = random.integers(0, 256)
        block[6 + 18 : 6 + 20] = b"\0\1"  # whatever else is damaged, not another orientation
        blocks.append(bytes(block))
    for block in blocks:
        path = tmp_path / "x.jpg"
        path.write_bytes(encode(make_smooth(), "JPEG", exif=block))
        found = read_rgb(path)
        if found.shape == expected.shape:
            turned = [found, found[::-1], found[:, ::-1], found[::-1, ::-1]]
            assert any(np.array_equal(one, expected) for one in turned)
        assert sorted(read_header(path).size) == [48, 64]


def test_the_limit_of_pixels_can_be_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """108 megapixels are within the limit; an image above it names the variable that raises it."""
    path = tmp_path / "x.png"
    Image.new("1", (12_000, 9_000)).save(path)
    assert open_image(path).size == (12_000, 9_000)
    monkeypatch.setenv(LIMIT_VARIABLE, "1000000")
    with pytest.raises(FrameError, match="are more than the limit of 1000000") as caught:
        open_image(path)
    assert LIMIT_VARIABLE in caught.value.hint


def test_a_file_that_is_no_image_is_none(tmp_path: Path) -> None:
    """Text, a video and an animated GIF are no still images."""
    (tmp_path / "notes").write_text("text")
    frames = [Image.new("L", (8, 8), value) for value in (0, 90, 200)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert not is_image(tmp_path / "notes")
    assert not is_image(tmp_path / "moving.gif")
