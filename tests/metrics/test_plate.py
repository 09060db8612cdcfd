"""Shift and exposure of a plate are measured, independent of the subject, or reported as none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from toolchain.frames.foregrounds import draw_foreground
from toolchain.frames.scenes import draw_scene
from toolchain.metrics.plate import ShiftTracker, find_mistake, median_difference, plate_offset

SIZE = (480, 270)


def pair(
    seed: int, shift: tuple[float, float], gains: tuple[float, float, float], size=SIZE
) -> tuple[np.ndarray, np.ndarray]:
    """A frame with a person, and a plate whose correction is `shift` and `gains`."""
    random = np.random.default_rng(seed)
    room = draw_scene(random, *size)
    alpha, colour = draw_foreground(random, *size)
    moved = ndimage.shift(room, (-shift[1], -shift[0], 0), order=1, mode="nearest")
    frame = alpha[..., None] * colour + (1 - alpha[..., None]) * room
    return noisy(random, frame), noisy(random, moved / np.array(gains))


def noisy(random: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    shaken = picture + random.normal(0, 0.006, picture.shape)
    return np.rint(np.clip(shaken, 0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize("seed", range(6))
def test_shift_and_gains_are_found(seed: int) -> None:
    """Within 0.4 pixels and 1 %, and with both undone little is left of the difference."""
    random = np.random.default_rng((seed, 1))
    shift = tuple(float(value) for value in random.uniform(2, 12, 2) * random.choice((-1, 1), 2))
    gains = tuple(float(value) for value in random.uniform(0.85, 1.15, 3))
    found = plate_offset(*pair(seed, shift, gains))
    assert found.moved
    assert np.hypot(found.shift[0] - shift[0], found.shift[1] - shift[1]) < 0.4
    assert np.abs(np.array(found.gains) / gains - 1).max() < 0.01
    assert found.exposed == (np.abs(np.array(gains) - 1).max() >= 0.04)
    assert found.after < found.before


@pytest.mark.parametrize("seed", range(6))
def test_a_plate_that_fits_is_left_in_peace(seed: int) -> None:
    """The same place in the same light: neither moved nor otherwise exposed."""
    found = plate_offset(*pair(seed, (0, 0), (1, 1, 1)))
    assert not found.moved
    assert not found.exposed
    assert found.before < 3


def test_shifts_are_in_pixels_of_the_frame() -> None:
    """The shift of a frame that is downsampled for the search is reported at its own size."""
    found = plate_offset(*pair(2, (9, -6), (1, 1, 1), (1920, 1080)))
    assert np.hypot(found.shift[0] - 9, found.shift[1] + 6) < 1


def test_where_there_is_nothing_to_see_nothing_is_claimed() -> None:
    """Flat, black, blown-out and unlike pictures have no shift; tiny ones are no trouble."""
    random = np.random.default_rng(0)
    for src, bgr in (
        (np.full((90, 160, 3), 130, np.uint8), np.full((90, 160, 3), 130, np.uint8)),
        (np.zeros((90, 160, 3), np.uint8), np.zeros((90, 160, 3), np.uint8)),
        (np.full((90, 160, 3), 255, np.uint8), np.full((90, 160, 3), 255, np.uint8)),
        (random.integers(0, 256, (90, 160, 3), np.uint8), np.full((90, 160, 3), 90, np.uint8)),
        (np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)),
        (np.zeros((3, 200, 3), np.uint8), np.zeros((3, 200, 3), np.uint8)),
    ):
        found = plate_offset(src, bgr)
        assert found.shift == (0, 0)
        assert np.isfinite(found.gains).all()


def test_a_flat_room_that_got_brighter_has_gains_only() -> None:
    """A change of exposure is not measured as a shift."""
    found = plate_offset(np.full((90, 160, 3), 150, np.uint8), np.full((90, 160, 3), 120, np.uint8))
    assert found.shift == (0, 0)
    assert np.allclose(found.gains, 1.25, atol=0.01)


def test_equal_pictures_do_not_differ() -> None:
    """The median difference of a picture to itself is 0, and of black to white 255."""
    picture = pair(1, (0, 0), (1, 1, 1))[0]
    assert median_difference(picture, picture) == 0
    assert median_difference(np.zeros_like(picture), np.full_like(picture, 255)) == 255


@pytest.mark.parametrize("seed", range(8))
def test_wrong_plates_are_recognized(seed: int) -> None:
    """The frame itself, another room, and frame and plate exchanged; a right plate is none."""
    frame, plate = pair(seed, (0, 0), (1, 1, 1))
    other = pair(seed + 50, (0, 0), (1, 1, 1))[1]
    assert find_mistake(frame, plate) is None
    assert find_mistake(frame, frame) == "equal"
    assert find_mistake(plate, frame) == "exchanged"
    assert find_mistake(frame, other) in ("other", "exchanged")


def test_the_shift_of_each_frame_is_followed() -> None:
    """Within a pixel of the true shift, at a quarter of the size."""
    frame, plate = pair(3, (0, 0), (1, 1, 1), (1280, 720))
    tracker = ShiftTracker(plate)
    for x, y in ((0, 0), (8, -4), (-20, 12)):
        moved = np.roll(frame, (y, x), (0, 1))
        assert np.hypot(*np.subtract(tracker.measure(moved), (x, y))) < 1
