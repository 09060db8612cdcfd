"""Linear resizing in OpenCV's convention."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.second import pixel_by_pixel
from toolchain.metrics.resizing import resize

sides = st.integers(1, 14)


@settings(deadline=None, max_examples=80)
@given(height=sides, width=sides, new_height=sides, new_width=sides, seed=st.integers(0, 999))
def test_every_pixel_is_between_its_neighbours(
    height: int, width: int, new_height: int, new_width: int, seed: int
) -> None:
    """Larger, smaller or both, with channels or without, it equals a loop over all pixels."""
    random = np.random.default_rng(seed)
    for shape in ((height, width), (height, width, 3)):
        values = random.random(shape)
        found = resize(values, (new_width, new_height))
        assert found == pytest.approx(pixel_by_pixel(values, new_width, new_height), abs=1e-12)


def test_known_rows_of_opencv() -> None:
    """cv2.resize with INTER_LINEAR gives these; the type stays float32."""
    row = np.array([[0, 1, 2, 3]], np.float32)
    double = resize(row, (8, 1))
    assert double.tolist() == [[0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]]
    assert double.dtype == np.float32
    assert resize(row, (2, 1)).tolist() == [[0.5, 2.5]]
    assert resize(row, (4, 1)) is row
