"""Headers of image files: size after rotation, alpha, end markers."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.support.datasets import make_image, save_image, truncate_file
from toolchain.errors import FrameError
from toolchain.frames.image_header import ImageHeader, read_header


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp"])
@pytest.mark.parametrize("orientation", [None, 3, 6])
def test_the_size_is_that_of_the_upright_image(
    suffix: str, orientation: int | None, tmp_path: Path
) -> None:
    """Width and height are swapped where EXIF data says that the camera was held sideways."""
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    path = tmp_path / f"x.{suffix}"
    make_image(1).save(path, exif=exif)
    is_sideways = orientation == 6 and suffix != "bmp"
    assert read_header(path) == ImageHeader((48, 64) if is_sideways else (64, 48), has_alpha=False)


def test_an_alpha_channel_or_a_transparent_colour_is_alpha(tmp_path: Path) -> None:
    """Both make a cutout."""
    assert read_header(save_image(tmp_path / "a.png", make_image(1, mode="RGBA"))).has_alpha
    make_image(1).save(tmp_path / "b.png", transparency=(0, 0, 0))
    assert read_header(tmp_path / "b.png").has_alpha


def test_a_truncated_file_is_refused_and_appended_bytes_are_not(tmp_path: Path) -> None:
    """Some cameras append their own data to an image."""
    path = save_image(tmp_path / "a.png", make_image(1, mode="RGBA"))
    path.write_bytes(path.read_bytes() + b"more")
    assert read_header(path).size == (64, 48)
    truncate_file(path)
    with pytest.raises(FrameError, match=r"a\.png: cannot read the image"):
        read_header(path)
