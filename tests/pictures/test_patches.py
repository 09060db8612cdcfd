"""Maps of refined patches."""

from __future__ import annotations

import numpy as np

from toolchain.pictures.patches import BOTH, MODEL_ONLY, ORIGINAL_ONLY, patch_colours


def test_patches_are_coloured_by_the_model_that_refined_them() -> None:
    """The map has one pixel per patch over the darkened frame."""
    src = np.full((8, 16, 3), 200, np.uint8)
    original = np.array([[1, 1, 0, 0], [0, 0, 0, 0]], np.bool_)
    other = np.array([[1, 0, 1, 0], [0, 0, 0, 0]], np.bool_)
    found = patch_colours(src, original, other)
    assert found[0].tolist() == [list(BOTH), list(ORIGINAL_ONLY), list(MODEL_ONLY), [60, 60, 60]]
    assert (found[1] == 60).all()
