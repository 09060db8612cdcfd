"""Alignment and exposure matching of a clean plate, kept only where they help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import toolchain
from tests.support.clips import make_walk, to_bytes
from toolchain.frames.scenes import draw_scene
from toolchain.run.plate_correction import correct_plate, describe_correction

SIZE = (640, 384)


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    frames, plate = make_walk(4, SIZE)
    return frames[3], plate


def rotate(image: np.ndarray, degrees: float, scale: float) -> np.ndarray:
    """The view of a camera that was rolled and moved closer."""
    matrix = cv2.getRotationMatrix2D((SIZE[0] / 2, SIZE[1] / 2), degrees, scale)
    return cv2.warpAffine(image, matrix, SIZE, borderMode=cv2.BORDER_REFLECT)


def mean_difference(one: np.ndarray, other: np.ndarray) -> float:
    """The mean absolute difference without the borders."""
    inner = (slice(16, -16), slice(16, -16))
    return float(np.abs(one[inner].astype(int) - other[inner]).mean())


def test_a_shifted_plate_is_aligned(scene: Any) -> None:
    """After a translation the plate nearly equals the right one; its border is the frame's."""
    frame, plate = scene
    moved = cv2.warpAffine(plate, np.float32([[1, 0, -6.5], [0, 1, 3.25]]), SIZE)
    found = correct_plate(frame, moved, "translation", exposure=False)
    assert found.matrix is not None
    assert np.allclose(found.matrix[:2, 2], (6.5, -3.25), atol=0.15)
    assert mean_difference(found.plate, plate) < 0.25 * mean_difference(moved, plate)
    assert found.after < 0.3 * found.before
    assert np.array_equal(found.plate[:, :6], frame[:, :6])


def test_a_turned_camera_needs_a_homography(scene: Any) -> None:
    """For a roll of one degree and 2 % zoom a homography is better than a translation."""
    frame, plate = scene
    other = rotate(plate, 1.0, 1.02)
    whole = correct_plate(frame, other, "homography", exposure=False)
    shifted = correct_plate(frame, other, "translation", exposure=False)
    assert mean_difference(whole.plate, plate) < 0.5 * mean_difference(other, plate)
    assert whole.after < shifted.after


def test_exposure_is_matched(scene: Any) -> None:
    """Gains are undone, also if the plate is shifted as well."""
    frame, plate = scene
    gains = np.array([1.1, 0.92, 1.05])
    dim = np.clip(np.rint(plate / gains), 0, 255).astype(np.uint8)
    lit = correct_plate(frame, dim, "none", exposure=True)
    assert np.allclose(lit.gains, gains, atol=0.01)
    assert mean_difference(lit.plate, plate) < 1.5
    both = correct_plate(frame, np.roll(dim, (4, -5), (0, 1)), "translation", exposure=True)
    assert mean_difference(both.plate, plate) < 2.5


def test_a_good_plate_is_unchanged(scene: Any) -> None:
    """A plate that matches the frame is not moved, and needs no description."""
    frame, plate = scene
    found = correct_plate(frame, plate, "homography", exposure=False)
    assert found.matrix is None
    assert np.array_equal(found.plate, plate)
    found = correct_plate(frame, plate, "none", exposure=False)
    assert describe_correction(found, align="none", exposure=False) == []


def test_auto_corrects_what_is_measured(scene: Any) -> None:
    """With "auto" a shift of a pixel and a visible exposure are undone, a good plate is kept."""
    frame, plate = scene
    dim = np.roll(np.rint(plate * 0.85).astype(np.uint8), (3, -5), (0, 1))
    found = correct_plate(frame, dim, "auto", exposure=None)
    assert found.matrix is not None
    assert np.allclose(found.matrix[:2, 2], (5, -3), atol=0.2)
    assert np.allclose(found.gains, 1 / 0.85, atol=0.02)
    assert mean_difference(found.plate, plate) < 2.5
    assert correct_plate(frame, plate, "auto", exposure=None).plate is plate


def test_another_scene_is_not_corrected(scene: Any) -> None:
    """A plate of another room is named as such, and neither moved nor brightened."""
    frame = scene[0]
    room = to_bytes(draw_scene(np.random.default_rng(77), *SIZE))
    found = correct_plate(frame, room, "auto", exposure=None)
    assert found.mistake == "other"
    assert found.plate is room
    (line,) = describe_correction(found, align="auto", exposure=None)
    assert "shows another scene" in line


def test_unrelated_images_are_unchanged() -> None:
    """If no feature matches and the refinement does not converge, the plate is not moved."""
    random = np.random.default_rng(0)
    src, bgr = (random.integers(0, 256, (96, 160, 3), np.uint8) for _ in range(2))
    for align in ("translation", "homography"):
        assert correct_plate(src, bgr, align, exposure=False).matrix is None
    flat = np.full((96, 160, 3), 99, np.uint8)
    assert correct_plate(flat, flat, "homography", exposure=True).matrix is None


def test_the_description_contains_measurements_and_options(scene: Any) -> None:
    """It lists offset, gains and the options that help, then the effect of these options."""
    frame, plate = scene
    moved = np.roll(np.rint(plate * 0.8).astype(np.uint8), (2, -7), (0, 1))
    found = correct_plate(frame, moved, "none", exposure=False)
    text = " ".join(describe_correction(found, align="none", exposure=False))
    assert "misaligned: the frame is offset by +7.0, -2.0 px" in text
    assert "R, G, B gains 1.25, 1.25, 1.25" in text
    assert "--align --match-exposure" in text
    found = correct_plate(frame, moved, "translation", exposure=True)
    text = " ".join(describe_correction(found, align="translation", exposure=True))
    assert "Clean plate corrected: median difference from the frame" in text
    assert "or try" not in text


def test_alignment_improves_the_matte(converted: Path) -> None:
    """Alpha from an aligned plate is much closer to that from the right plate."""
    frames, plate = make_walk(4)
    frame, moved = frames[3], np.roll(plate, (3, -5), (0, 1))
    aligned = correct_plate(frame, moved, "translation", exposure=False).plate
    with toolchain.Matting(converted, hint="f32") as model:
        right, wrong, fixed = (model.matte(frame, bgr).alpha for bgr in (plate, moved, aligned))
    assert np.abs(fixed - right).mean() < 0.3 * np.abs(wrong - right).mean()
