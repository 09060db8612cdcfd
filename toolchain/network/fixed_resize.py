"""Bilinear resizes by whole factors as convolutions and matrix products with fixed weights.

They compute the same sums as `resize.bilinear` (half-pixel centres, no antialiasing), in forms
that runtimes execute several times faster: with few channels, resizing spends its time on layout
changes, not on the sums.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolchain.network.resize import bilinear

BLOCK = 16  # columns that one row of the horizontal product upsamples


class Downsample(nn.Module):
    """Resize to 1/`factor` of the size: the mean of the four pixels around each centre.

    A strided convolution over blocks of a row's pixels.  It reads each channel as it is stored,
    and channels do not mix.

    Args:
        factor: Even number.
        width: Width of the input, a multiple of `factor`.
    """

    weight: Tensor

    def __init__(self, factor: int, width: int) -> None:
        super().__init__()
        self.factor = factor
        pixels = math.gcd(width // factor, max(1, 2 * BLOCK // factor))  # of the result, per block
        weight = torch.zeros(pixels, factor * pixels, factor, 1)
        middle = (factor // 2 - 1, factor // 2)
        for pixel, y, x in itertools.product(range(pixels), middle, middle):
            weight[pixel, factor * pixel + x, y] = 0.25
        self.register_buffer("weight", weight)

    def forward(self, x: Tensor) -> Tensor:
        """Resize: 1 x C x H x `width` -> 1 x C x H/`factor` x `width`/`factor`."""
        _, channels, height, width = x.shape
        block = self.weight.shape[1]
        blocks = x.reshape(channels, height, width // block, block).permute(0, 3, 1, 2)
        made = functional.conv2d(blocks, self.weight, stride=(self.factor, 1))
        shape = (1, channels, height // self.factor, width // self.factor)
        return made.permute(0, 2, 3, 1).reshape(shape)


class Upsample(nn.Module):
    """Resize to `factor` times the size: one matrix product down, one across.

    Each product multiplies blocks of rows, or of columns, with one neighbour on each side, by one
    small matrix.

    Args:
        height: Height of the input.
        width: Width of the input.
        factor: Whole number.
    """

    down: Tensor
    across: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, height: int, width: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        tall, wide = math.gcd(height, BLOCK), math.gcd(width, BLOCK)
        self.register_buffer("down", _upsampling_matrix(tall, factor).T.contiguous())
        self.register_buffer("across", _upsampling_matrix(wide, factor))
        self.register_buffer("rows", _indices_with_neighbours(height, tall))
        self.register_buffer("columns", _indices_with_neighbours(width, wide))

    def forward(self, x: Tensor) -> Tensor:
        """Resize: 1 x C x `height` x `width` -> 1 x C x `factor` `height` x `factor` `width`."""
        _, channels, height, width = x.shape
        blocks = x[0].index_select(2, self.columns).index_select(1, self.rows)
        blocks = blocks.reshape(channels, -1, self.down.shape[1], len(self.columns))
        tall = torch.matmul(self.down, blocks)
        tall = tall.reshape(channels, height * self.factor, -1, self.across.shape[0])
        wide = torch.matmul(tall, self.across)
        return wide.reshape(1, channels, height * self.factor, width * self.factor)


def _indices_with_neighbours(size: int, block: int) -> Tensor:
    """Indices of each block of a line, with one pixel before and one after; clamped to the line."""
    around = torch.arange(-1, block + 1)
    return (torch.arange(0, size, block).reshape(-1, 1) + around).clamp(0, size - 1).reshape(-1)


def _upsampling_matrix(block: int, factor: int) -> Tensor:
    """(block + 2) x (factor * block): maps a row of `block` + 2 pixels to its upsampled middle."""
    pixels = torch.eye(block + 2).reshape(1, block + 2, 1, -1)
    upsampled = bilinear(pixels, (1, factor * (block + 2)))[0, :, 0]
    return upsampled[:, factor:-factor].contiguous()
