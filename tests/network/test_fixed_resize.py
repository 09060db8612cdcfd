"""Resizes with fixed weights give the results of the network's bilinear resize."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.network.fixed_resize import Downsample, Upsample
from toolchain.network.resize import bilinear


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 70),
    factor=st.sampled_from([2, 4, 8]),
    seed=st.integers(0, 99),
)
def test_upsampling_is_the_bilinear_resize(height: int, width: int, factor: int, seed: int) -> None:
    """For any size, including one pixel, up to the border."""
    x = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    expected = bilinear(x, (factor * height, factor * width))
    assert float((Upsample(height, width, factor)(x) - expected).abs().max()) < 1e-6


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(1, 20),
    width=st.integers(1, 40),
    factor=st.sampled_from([2, 4, 8]),
    seed=st.integers(0, 99),
)
def test_downsampling_is_the_bilinear_resize(
    height: int, width: int, factor: int, seed: int
) -> None:
    """For every even factor; channels do not mix."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(1, 3, factor * height, factor * width, generator=generator)
    expected = bilinear(x, (height, width))
    assert float((Downsample(factor, factor * width)(x) - expected).abs().max()) < 1e-6
