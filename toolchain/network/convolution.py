"""Convolutions with fixed weights."""

from __future__ import annotations

from torch import Tensor, nn


def make_convolution(
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
) -> nn.Conv2d:
    """Make a convolution that is not trained.

    Args:
        weight: O x I x kh x kw, stored as float32.
        bias: O values, stored as float32; None for no bias.
        stride: Stride along both axes.
        padding: Zeros on each side, for both axes or for (y, x).

    Returns:
        The convolution, with copies of the values.
    """
    outputs, inputs, height, width = weight.shape
    made = nn.Conv2d(inputs, outputs, (height, width), stride, padding, bias=bias is not None)
    made.weight = nn.Parameter(weight.detach().float().clone(), requires_grad=False)
    if bias is not None:
        made.bias = nn.Parameter(bias.detach().float().clone(), requires_grad=False)
    return made
