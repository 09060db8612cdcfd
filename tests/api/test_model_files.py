"""Fitting, blending and finding the IR, each by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.api.letterbox import Fit
from toolchain.api.model_files import everything, locate
from toolchain.api.matte import Matte
from toolchain.errors import BundleError, FrameError, UsageError

SIDES = st.integers(1, 400)


@settings(deadline=None)
@given(SIDES, SIDES, SIDES, SIDES)
def test_a_picture_stands_in_the_middle_unstretched(w: int, h: int, wide: int, high: int) -> None:
    """It fills one direction, is inside in the other, and keeps its shape within a pixel."""
    left, top, right, bottom = Fit((w, h), (wide, high)).box
    assert 0 <= left <= right <= wide
    assert 0 <= top <= bottom <= high
    assert right - left == wide or bottom - top == high
    assert abs(left - (wide - right)) <= 1
    assert abs(top - (high - bottom)) <= 1
    scale = min(wide / w, high / h)
    assert abs((right - left) - w * scale) <= 1
    assert abs((bottom - top) - h * scale) <= 1


@settings(deadline=None)
@given(st.integers(2, 60), st.integers(2, 60))
def test_what_the_network_left_alone_comes_back_unchanged(w: int, h: int) -> None:
    """A foreground that equals the fitted frame comes back as the frame itself, to the bit."""
    random = np.random.default_rng((w, h))
    picture = random.integers(0, 256, (h, w, 3)).astype(np.uint8)
    fit = Fit((w, h), (40, 24))
    inside = fit.into(picture)
    assert inside.shape == (24, 40, 3)
    assert np.array_equal(fit.foreground(inside, inside, picture), picture)
    floats = fit.foreground(inside / np.float32(255), inside, picture)
    assert np.allclose(floats, picture / 255, atol=1e-6)


def test_an_even_alpha_stays_even() -> None:
    """A matte of one value comes back as that value at any size."""
    fit = Fit((333, 97), (64, 64))
    for alpha in (np.full((64, 64), 77, np.uint8), np.full((64, 64), 0.3, np.float32)):
        back = fit.alpha(alpha)
        assert back.shape == (97, 333)
        assert back.dtype == alpha.dtype
        assert np.allclose(back, alpha[0, 0], atol=1e-6)


@settings(deadline=None)
@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_blending_is_rounded_to_nearest(cover: int, front: int, behind: int) -> None:
    """`over` is alpha * foreground + (1 - alpha) * background for every byte there is."""
    matte = Matte(np.full((3, 2), cover, np.uint8), np.full((3, 2, 3), front, np.uint8))
    exact = (cover * front + (255 - cover) * behind) / 255
    found = matte.over((behind, behind, behind))
    assert found.shape == (3, 2, 3)
    assert np.abs(found - exact).max() <= 0.5
    assert np.array_equal(found, matte.over(np.full((3, 2, 3), behind, np.uint8)))


def test_a_background_of_another_size_is_said() -> None:
    """It is not stretched in silence."""
    matte = Matte(np.zeros((3, 2), np.uint8), np.zeros((3, 2, 3), np.uint8))
    with pytest.raises(FrameError, match="background is 3x3, the frame 2x3"):
        matte.over(np.zeros((3, 3, 3), np.uint8))


def ir(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.bin").touch()
    (folder / f"{name}.xml").touch()
    return folder / f"{name}.xml"


def test_every_way_of_naming_a_model_leads_to_its_ir(tmp_path: Path) -> None:
    """The build's folder, the model's, a precision's and the IR itself mean what they say."""
    model = tmp_path / "public" / "m"
    fp32, fp16, int8 = (ir(model / kind, "m") for kind in ("FP32", "FP16", "FP16-INT8"))
    for name in (tmp_path, model, model / "FP16", fp16):
        assert (locate(name).xml, locate(name).precision) == (fp16, "FP16")
    assert locate(tmp_path, "FP32").xml == fp32
    assert locate(model / "FP16-INT8").xml == int8
    assert [item.precision for item in everything(tmp_path)] == ["FP16", "FP32", "FP16-INT8"]
    assert locate(ir(tmp_path / "elsewhere", "other")).precision == ""


def test_a_package_is_a_model(bundle: Path) -> None:
    """The archive itself can be named; its precisions are those that were packaged."""
    found = everything(bundle)
    assert [item.precision for item in found] == ["FP16", "FP32"]
    assert locate(bundle, "FP32").xml == found[1].xml
    assert found[0].xml.with_suffix(".bin").is_file()


def test_what_is_no_model_is_said(tmp_path: Path) -> None:
    """Nothing there, nothing in it, several in it, half of one: a sentence with a way out."""
    with pytest.raises(UsageError, match="none: is not there"):
        locate(tmp_path / "none")
    with pytest.raises(UsageError, match="holds no IR"):
        locate(tmp_path)
    one = ir(tmp_path / "public" / "a" / "FP16", "a")
    with pytest.raises(UsageError, match="no FP32 among FP16"):
        locate(tmp_path, "FP32")
    ir(tmp_path / "public" / "b" / "FP16", "b")
    with pytest.raises(UsageError, match="several models: a, b") as caught:
        locate(tmp_path)
    assert str(one.parent.parent) in caught.value.hint
    one.with_suffix(".bin").unlink()
    with pytest.raises(UsageError, match=r"a\.bin: is not there"):
        locate(one)
    (tmp_path / "model.tar.gz").touch()
    with pytest.raises(BundleError, match=r"model\.tar\.gz"):
        locate(tmp_path / "model.tar.gz")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"notes\.txt: is no model"):
        locate(tmp_path / "notes.txt")
