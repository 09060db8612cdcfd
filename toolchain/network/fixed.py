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

    Blocks of rows, then of columns, with one neighbour on each side, times one small matrix.
    """

    down: Tensor
    across: Tensor

    def __init__(self, height: int, width: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.register_buffer("down", _enlarging(math.gcd(height, BLOCK), factor).T.contiguous())
        self.register_buffer("across", _enlarging(math.gcd(width, BLOCK), factor))

    def forward(self, x: Tensor) -> Tensor:
        _, channels, height, width = x.shape
        rows = _with_neighbours(x[0], 1, self.down.shape[1] - 2)
        tall = torch.matmul(self.down, rows).reshape(channels, height * self.factor, width)
        columns = _with_neighbours(tall, 2, self.across.shape[0] - 2)
        wide = torch.matmul(columns, self.across)
        return wide.reshape(1, channels, height * self.factor, width * self.factor)


def _with_neighbours(x: Tensor, axis: int, block: int) -> Tensor:
    """Split `axis` of a C x H x W tensor into blocks, each with the pixel before and after it.

    Beyond the border the edge pixel is repeated, as half-pixel centres have it.
    """
    size = x.shape[axis]
    blocks = x.reshape(*x.shape[:axis], size // block, block, *x.shape[axis + 1 :])
    first, last = x.narrow(axis, 0, 1), x.narrow(axis, size - 1, 1)
    ends = blocks.select(axis + 1, block - 1).narrow(axis, 0, size // block - 1)
    starts = blocks.select(axis + 1, 0).narrow(axis, 1, size // block - 1)
    before = torch.cat([first, ends], axis).unsqueeze(axis + 1)
    after = torch.cat([starts, last], axis).unsqueeze(axis + 1)
    return torch.cat([before, blocks, after], axis + 1)


def _enlarging(block: int, factor: int) -> Tensor:
    """A row of `block` + 2 pixels times this, (block + 2) x (factor * block): its inner part
    enlarged."""
    pixels = torch.eye(block + 2).reshape(1, block + 2, 1, -1)
    enlarged = bilinear(pixels, (1, factor * (block + 2)))[0, :, 0]
    return enlarged[:, factor:-factor].contiguous()
