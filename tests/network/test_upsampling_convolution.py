"""Upsampling and convolution together give the same as one after the other."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from toolchain.network.upsampling_convolution import UpsamplingConvolution


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(2, 20),
    width=st.integers(2, 20),
    inputs=st.integers(1, 5),
    outputs=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_it_is_the_convolution_after_the_resize(
    height: int, width: int, inputs: int, outputs: int, seed: int
) -> None:
    """For any image and weights, up to the border and two pixels beyond it."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, inputs, height, width, generator=generator)
    weight = torch.randn(outputs, inputs, 3, 3, generator=generator)
    large = functional.interpolate(
        x.double(), (2 * height, 2 * width), mode="bilinear", align_corners=False
    )
    expected = functional.conv2d(large, weight.double(), padding=3)
    found = UpsamplingConvolution(weight, height, width)(x)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) < 1e-5
