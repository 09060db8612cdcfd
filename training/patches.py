"""Patches cut out of batches for the refiner, without whole maps in memory.

The same values as `toolchain.network.refiner`, which would need gigabytes with gradients; patches
at the frame's border, whose halo is partly outside, are left out.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from toolchain.definitions.ports import CELL
from toolchain.network.refiner import FULL_HALO, HALF_HALO, Refiner
from training.stream import Frames

BORDER = 2  # cells
HALF = CELL // 2 + 2 * HALF_HALO  # half-size pixels of a patch with its halo
QUARTER = 2 * BORDER + 1  # quarter-size pixels that these depend on


class Patches(NamedTuple):
    """Outputs of the refiner for N patches of 4 x 4 pixels, and ground truth; RGB, 0..1."""

    alpha: Tensor  # N x 4 x 4, not clamped
    foreground: Tensor  # N x 3 x 4 x 4, not clamped
    true_alpha: Tensor  # N x 4 x 4
    true_foreground: Tensor  # N x 3 x 4 x 4


def chosen(ref: Tensor, most: int, order: Tensor) -> Tensor:
    """Up to `most` cells with `ref` (B x 1 x h x w) > 0, N x (batch, row, column).

    `order`: a random number for each cell of the batch, by which they are chosen.
    """
    inside = torch.zeros_like(ref[:, 0])
    inside[:, BORDER:-BORDER, BORDER:-BORDER] = ref[:, 0, BORDER:-BORDER, BORDER:-BORDER]
    cells = torch.nonzero(inside > 0)
    if len(cells) > most:
        ranked = order[cells[:, 0], cells[:, 1], cells[:, 2]].argsort()
        cells = cells[ranked[:most].sort().values]
    return cells


def refined(refiner: Refiner, frames: Frames, coarse: Tensor, cells: Tensor) -> Patches:
    """Refine `cells` of frames; `coarse`: hid, pha and fgr residual, B x 36 x h x w."""
    maps = _cut(coarse, cells, 1, BORDER, BORDER)
    enlarge = _enlarging().to(coarse)
    enlarged = torch.matmul(enlarge, maps.flatten(1, 2)).unflatten(1, (HALF, HALF))
    around = 2 * HALF_HALO
    both = _cut(frames.both, cells, CELL, around, around).permute(0, 3, 1, 2) * (1 / 255)
    half = torch.cat([enlarged.permute(0, 3, 1, 2), functional.avg_pool2d(both, 2)], 1)
    inner = around - FULL_HALO
    full = both[:, :, inner:-inner, inner:-inner]
    out = refiner.refine(half, full)
    src = both[:, :3, around:-around, around:-around]
    truth = (
        _cut(frames.alpha, cells, CELL, 0, 0)[..., 0] * (1 / 255),
        _cut(frames.foreground, cells, CELL, 0, 0).permute(0, 3, 1, 2) * (1 / 255),
    )
    return Patches(out[:, 0], out[:, 1:] + src, *truth)


def _cut(maps: Tensor, cells: Tensor, size: int, before: int, after: int) -> Tensor:
    """N squares of B x C x H x W `maps` as N x side x side x C floats; zeros beyond the border."""
    batch, row, column = cells.T
    high, wide = maps.shape[2:]
    reach = torch.arange(-before, size + after, device=maps.device)
    rows, columns = size * row[:, None] + reach, size * column[:, None] + reach
    inside = ((rows >= 0) & (rows < high))[:, :, None]
    inside = inside & ((columns >= 0) & (columns < wide))[:, None]
    rows, columns = rows.clamp(0, high - 1)[:, :, None], columns.clamp(0, wide - 1)[:, None]
    squares = maps.permute(0, 2, 3, 1)[batch[:, None, None], rows, columns].float()
    return squares if bool(inside.all()) else squares * inside[..., None]


def _enlarging() -> Tensor:
    """8 x 8 half-size pixels as bilinear mixtures of the 5 x 5 quarter-size ones, 64 x 25."""
    line = torch.zeros(HALF, QUARTER)
    for pixel in range(HALF):
        at = (pixel - HALF_HALO + 0.5) / 2 - 0.5 + BORDER
        low = int(at)
        line[pixel, low] = 1 - (at - low)
        if at > low:
            line[pixel, low + 1] = at - low
    return torch.kron(line, line)
