"""Counts of the network, by refine mode."""

from __future__ import annotations

import pytest

from toolchain.definitions.refinement import RefineMode
from toolchain.network.profile import profile

ALL = 180 * 320  # patches of a frame of 1280 x 720


@pytest.mark.parametrize(
    ("mode", "patches", "gigaflops"),
    [("sampling", 5000, 11.434), ("full", ALL, 61.334), ("thresholding", ALL, 61.334)],
)
def test_flops_follow_the_refine_mode(mode: RefineMode, patches: int, gigaflops: float) -> None:
    """Sampling refines its number of pixels, full every patch; thresholding at most every patch."""
    counted = profile(mode=mode)
    assert (counted.patches, round(counted.flops / 1e9, 3)) == (patches, gigaflops)
    assert round(counted.base_flops / 1e9, 3) == 6.690
    assert f"{patches} refined patches of 4x4 pixels" in counted.counted
    assert ("at most" in counted.counted) == (mode == "thresholding")


def test_sampling_refines_no_more_patches_than_the_frame_has() -> None:
    """A small frame has fewer patches than the default number of pixels would fill."""
    assert profile(320, 192).patches == 80 * 48
    assert profile(320, 192, sample_pixels=8000).patches == 500
