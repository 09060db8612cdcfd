"""Compositing a matte over a background."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.api.matte import Matte
from toolchain.errors import FrameError

BYTES = st.integers(0, 255)


@settings(deadline=None)
@given(BYTES, BYTES, BYTES)
def test_compositing_rounds_to_nearest(alpha: int, foreground: int, background: int) -> None:
    """`over` is alpha * foreground + (1 - alpha) * background for all bytes."""
    matte = Matte(np.full((3, 2), alpha, np.uint8), np.full((3, 2, 3), foreground, np.uint8))
    exact = (alpha * foreground + (255 - alpha) * background) / 255
    found = matte.over((background, background, background))
    assert found.shape == (3, 2, 3)
    assert np.abs(found - exact).max() <= 0.5
    assert np.array_equal(found, matte.over(np.full((3, 2, 3), background, np.uint8)))


def test_a_background_of_another_size_is_an_error() -> None:
    """The background is not resized silently."""
    matte = Matte(np.zeros((3, 2), np.uint8), np.zeros((3, 2, 3), np.uint8))
    with pytest.raises(FrameError, match="background is 3x3, the frame is 2x3"):
        matte.over(np.zeros((3, 3, 3), np.uint8))
