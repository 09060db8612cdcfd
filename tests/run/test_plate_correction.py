"""A plate that was shifted, turned or lit otherwise is put right, and only if that helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import toolchain
from tests.support.clips import walk
from toolchain.run.plate_correction import advice, corrected

SIZE = (640, 384)


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    frames, plate = walk(4, SIZE)
    return frames[3], plate


def turned(picture: np.ndarray, degrees: float, scale: float) -> np.ndarray:
    """As a camera sees it that was rolled and moved nearer."""
    matrix = cv2.getRotationMatrix2D((SIZE[0] / 2, SIZE[1] / 2), degrees, scale)
    return cv2.warpAffine(picture, matrix, SIZE, borderMode=cv2.BORDER_REFLECT)


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """The mean difference away from the borders."""
    inner = (slice(16, -16), slice(16, -16))
    return float(np.abs(one[inner].astype(int) - other[inner]).mean())


def test_a_shifted_plate_is_moved_back(scene: Any) -> None:
    """After a translation the plate is all but the true one, and its border the frame's."""
    frame, plate = scene
    moved = cv2.warpAffine(plate, np.float32([[1, 0, -6.5], [0, 1, 3.25]]), SIZE)
    found = corrected(frame, moved, "translation", exposure=False)
    assert found.moved is not None
    assert np.allclose(found.moved[:2, 2], (6.5, -3.25), atol=0.15)
    assert apart(found.plate, plate) < 0.25 * apart(moved, plate)
    assert found.after < 0.3 * found.before
    assert np.array_equal(found.plate[:, :6], frame[:, :6])


def test_a_turned_camera_needs_a_homography(scene: Any) -> None:
    """A roll of one degree and 2 % nearer: a translation is not enough, a homography is."""
    frame, plate = scene
    other = turned(plate, 1.0, 1.02)
    whole = corrected(frame, other, "homography", exposure=False)
    shifted = corrected(frame, other, "translation", exposure=False)
    assert apart(whole.plate, plate) < 0.5 * apart(other, plate)
    assert whole.after < shifted.after


def test_exposure_is_matched(scene: Any) -> None:
    """Gains are undone, also where the plate was moved as well."""
    frame, plate = scene
    gains = np.array([1.1, 0.92, 1.05])
    dim = np.clip(np.rint(plate / gains), 0, 255).astype(np.uint8)
    lit = corrected(frame, dim, "off", exposure=True)
    assert np.allclose(lit.gains, gains, atol=0.01)
    assert apart(lit.plate, plate) < 1.5
    both = corrected(frame, np.roll(dim, (4, -5), (0, 1)), "translation", exposure=True)
    assert apart(both.plate, plate) < 2.5


def test_a_plate_that_fits_stays_as_it_is(scene: Any) -> None:
    """Nothing is moved where nothing is gained, and there is nothing to say."""
    frame, plate = scene
    found = corrected(frame, plate, "homography", exposure=False)
    assert found.moved is None
    assert np.array_equal(found.plate, plate)
    assert advice(corrected(frame, plate, "off", exposure=False), align=False, exposure=False) == []


def test_pictures_that_have_nothing_in_common_are_left_alone() -> None:
    """Where no corner agrees and nothing converges the plate stays."""
    random = np.random.default_rng(0)
    src, bgr = (random.integers(0, 256, (96, 160, 3), np.uint8) for _ in range(2))
    for align in ("translation", "homography"):
        assert corrected(src, bgr, align, exposure=False).moved is None
    flat = np.full((96, 160, 3), 99, np.uint8)
    assert corrected(flat, flat, "homography", exposure=True).moved is None


def test_advice_names_what_was_measured_and_what_helps(scene: Any) -> None:
    """Shift and gains stand in it with the options, then what they gained."""
    frame, plate = scene
    moved = np.roll(np.rint(plate * 0.8).astype(np.uint8), (2, -7), (0, 1))
    plain = " ".join(
        advice(corrected(frame, moved, "off", exposure=False), align=False, exposure=False)
    )
    assert "shifted against the plate by +7.0, -2.0 pixels" in plain
    assert "R, G, B times 1.25, 1.25, 1.25" in plain
    assert "--align --match-exposure" in plain
    mended = " ".join(
        advice(corrected(frame, moved, "translation", exposure=True), align=True, exposure=True)
    )
    assert "Plate put right: median difference to the frame" in mended
    assert "or try" not in mended


def test_a_matte_from_a_mended_plate_is_nearer_the_true_one(converted: Path) -> None:
    """What alignment is for: alpha of a shifted plate comes back to that of the right one."""
    frames, plate = walk(4)
    frame, moved = frames[3], np.roll(plate, (3, -5), (0, 1))
    mended = corrected(frame, moved, "translation", exposure=False).plate
    with toolchain.Matting(converted, hint="f32") as model:
        right, wrong, again = (model.matte(frame, bgr).alpha for bgr in (plate, moved, mended))
    assert np.abs(again - right).mean() < 0.3 * np.abs(wrong - right).mean()
