"""Letterboxing: placement of an image in the model's input, and mattes restored to its size."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.api.letterbox import Letterbox

SIDES = st.integers(1, 400)


@settings(deadline=None)
@given(SIDES, SIDES, SIDES, SIDES)
def test_an_image_is_centred_with_its_aspect_ratio_kept(
    w: int, h: int, model_w: int, model_h: int
) -> None:
    """The box fills one direction, is inside in the other, and keeps the ratio within a pixel."""
    left, top, right, bottom = Letterbox((w, h), (model_w, model_h)).box
    assert 0 <= left <= right <= model_w
    assert 0 <= top <= bottom <= model_h
    assert right - left == model_w or bottom - top == model_h
    assert abs(left - (model_w - right)) <= 1
    assert abs(top - (model_h - bottom)) <= 1
    scale = min(model_w / w, model_h / h)
    assert abs((right - left) - w * scale) <= 1
    assert abs((bottom - top) - h * scale) <= 1


@settings(deadline=None)
@given(st.integers(2, 60), st.integers(2, 60))
def test_an_unchanged_foreground_is_restored_bit_for_bit(w: int, h: int) -> None:
    """A foreground that equals the resized frame is restored to the frame itself."""
    random = np.random.default_rng((w, h))
    image = random.integers(0, 256, (h, w, 3)).astype(np.uint8)
    letterbox = Letterbox((w, h), (40, 24))
    resized = letterbox.apply(image)
    assert resized.shape == (24, 40, 3)
    assert np.array_equal(letterbox.restore_foreground(resized, resized, image), image)
    floats = letterbox.restore_foreground(resized / np.float32(255), resized, image)
    assert np.allclose(floats, image / 255, atol=1e-6)


def test_a_constant_alpha_stays_constant() -> None:
    """An alpha of one value is restored to that value and keeps its type."""
    letterbox = Letterbox((333, 97), (64, 64))
    for alpha in (np.full((64, 64), 77, np.uint8), np.full((64, 64), 0.3, np.float32)):
        restored = letterbox.restore_alpha(alpha)
        assert restored.shape == (97, 333)
        assert restored.dtype == alpha.dtype
        assert np.allclose(restored, alpha[0, 0], atol=1e-6)


def test_the_padding_reflects_the_image() -> None:
    """Beyond the border of a portrait image is its reflection, however narrow it is."""
    image = np.random.default_rng(2).integers(0, 256, (40, 10, 3), np.uint8)
    letterbox = Letterbox((10, 40), (64, 40))
    left, _, right, _ = letterbox.box
    padded = letterbox.apply(image)
    assert np.array_equal(padded[:, left:right], image)
    assert np.array_equal(padded[:, left - 10 : left], image[:, ::-1])
    assert np.array_equal(padded[:, right : right + 10], image[:, ::-1])
