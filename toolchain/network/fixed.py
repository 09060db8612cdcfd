"""Bilinear resizes by whole factors as convolutions and products of fixed weights.

The same sums as `resize.bilinear` (half-pixel centres, no antialiasing), in forms that runtimes
compute several times faster: a resize of few channels is bound by layout changes, not by sums.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolchain.network.resize import bilinear

BLOCK = 16  # columns that one row of the horizontal product enlarges


def convolution(
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
) -> nn.Conv2d:
    """A convolution of given values, O x I x kh x kw and O, that are not trained."""
    outputs, inputs, down, across = weight.shape
    made = nn.Conv2d(inputs, outputs, (down, across), stride, padding, bias=bias is not None)
    made.weight = nn.Parameter(weight.detach().float().clone(), requires_grad=False)
    if bias is not None:
        made.bias = nn.Parameter(bias.detach().float().clone(), requires_grad=False)
    return made


class Shrink(nn.Module):
    """1 x C x H x `width` -> 1 x C x H / `factor` x `width` / `factor`, `factor` even.

    The mean of the four pixels around each centre, by a strided convolution over blocks of a
    row's pixels: so planes are read as they lie, and channels never meet.
    """

    weight: Tensor

    def __init__(self, factor: int, width: int) -> None:
        super().__init__()
        self.factor = factor
        made = math.gcd(width // factor, max(1, 2 * BLOCK // factor))  # pixels of one block
        weight = torch.zeros(made, factor * made, factor, 1)
        middle = (factor // 2 - 1, factor // 2)
        for pixel, y, x in itertools.product(range(made), middle, middle):
            weight[pixel, factor * pixel + x, y] = 0.25
        self.register_buffer("weight", weight)

    def forward(self, x: Tensor) -> Tensor:
        _, channels, height, width = x.shape
        block = self.weight.shape[1]
        blocks = x.reshape(channels, height, width // block, block).permute(0, 3, 1, 2)
        made = functional.conv2d(blocks, self.weight, stride=(self.factor, 1))
        shape = (1, channels, height // self.factor, width // self.factor)
        return made.permute(0, 2, 3, 1).reshape(shape)


class Enlarge(nn.Module):
    """1 x C x `height` x `width` -> `factor` times the size: one product down, one across.

    Blocks of rows, and of columns, with one neighbour on each side, times one small matrix.
    """

    down: Tensor
    across: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, height: int, width: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        tall, wide = math.gcd(height, BLOCK), math.gcd(width, BLOCK)
        self.register_buffer("down", _enlarging(tall, factor).T.contiguous())
        self.register_buffer("across", _enlarging(wide, factor))
        self.register_buffer("rows", _with_neighbours(height, tall))
        self.register_buffer("columns", _with_neighbours(width, wide))

    def forward(self, x: Tensor) -> Tensor:
        _, channels, height, width = x.shape
        blocks = x[0].index_select(2, self.columns).index_select(1, self.rows)
        blocks = blocks.reshape(channels, -1, self.down.shape[1], len(self.columns))
        tall = torch.matmul(self.down, blocks)
        tall = tall.reshape(channels, height * self.factor, -1, self.across.shape[0])
        wide = torch.matmul(tall, self.across)
        return wide.reshape(1, channels, height * self.factor, width * self.factor)


def _with_neighbours(size: int, block: int) -> Tensor:
    """The pixels of each block of a line, the one before and the one after it.

    Beyond the border the edge pixel is repeated, as half-pixel centres have it.
    """
    around = torch.arange(-1, block + 1)
    return (torch.arange(0, size, block).reshape(-1, 1) + around).clamp(0, size - 1).reshape(-1)


def _enlarging(block: int, factor: int) -> Tensor:
    """A row of `block` + 2 pixels times this, (block + 2) x (factor * block): its inner part
    enlarged."""
    pixels = torch.eye(block + 2).reshape(1, block + 2, 1, -1)
    enlarged = bilinear(pixels, (1, factor * (block + 2)))[0, :, 0]
    return enlarged[:, factor:-factor].contiguous()
