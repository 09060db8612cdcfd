"""The sampling refiner in static shapes: the chosen patches laid side by side in one picture.

A fixed number of patches is chosen, so every shape is known.  Their windows, halo and all, are
gathered into a mosaic of tiles; there the last two convolutions run as over any picture, and the
middle of each tile is the refined patch.  Against refining everywhere this spares nine tenths of
the two convolutions at full size.  The first two run over the whole frame at half size: on
patches with their halo they would cost four fifths of that, and every window's copying.

On the mosaic, conv3 and conv4 are computed at half size, four phases at once (the pixels of one
2x2 block as channels): the nearest-neighbour enlargement between conv2 and conv3 then costs
nothing, and 48 output channels fill vectors that 12 do not.  The sums are those of the published
form, in another order.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolchain.network.fixed import Enlarge, Shrink
from toolchain.network.matting import BaseNetwork, MattingNetwork, Outputs, outputs
from toolchain.network.refiner import CELL, FULL_HALO, HALF_HALO, Refiner
from toolchain.network.resize import bilinear

HALF_SIDE = CELL // 2 + 2  # half-size pixels of a tile: what conv3 and conv4 see of conv2's output
FULL_SIDE = 2 * HALF_SIDE  # full-size pixels of a tile
WORTH_IT = 4  # at least so many cells for each patch, or the mosaic is no smaller than the frame


class Chosen(NamedTuple):
    """`row`, `column` of each patch's cell, int32, k; `valid`: 1 where err > 0, float32, k."""

    row: Tensor
    column: Tensor
    valid: Tensor


def worth_it(network: MattingNetwork, width: int, height: int) -> bool:
    """Whether this form suits: a fixed number of patches, small beside the frame."""
    cells = (width // CELL) * (height // CELL)
    selection = network.selection
    return selection.mode == "sampling" and WORTH_IT * selection.pixels // CELL**2 <= cells


class MosaicMatting(BaseNetwork):
    """`network` (BatchNorm folded) for frames of one size; outputs as `MattingNetwork` gives."""

    def __init__(self, network: MattingNetwork, width: int, height: int) -> None:
        super().__init__(network.backbone, network.aspp, network.decoder)
        self.size = (height, width)
        scale = network.backbone_scale
        self.small = (int(height * scale), int(width * scale))
        self.patches = network.selection.pixels // CELL**2
        self.refiner = MosaicRefiner(network.refiner, self.patches, width, height)
        factor = round(1 / scale)
        self.whole = (factor * self.small[0], factor * self.small[1]) == self.size
        self.halved = Shrink(3, 2)
        if self.whole and factor % 2 == 0:
            self.shrunk: nn.Module | None = Shrink(3, factor)
        else:
            self.shrunk = None
        self.enlarged = Enlarge(*self.small, factor) if self.whole else None

    def forward(self, src: Tensor, bgr: Tensor) -> Outputs:
        """`src`, `bgr`: 1 x 3 x H x W, float32, RGB 0..1."""
        frames = (src, bgr)
        small = torch.cat([self._shrunk(frame) for frame in frames], 1)
        half = torch.cat([self.halved(frame) for frame in frames], 1)
        base = self.base(small)
        coarse = torch.cat([base.pha, base.fgr], 1)
        chosen, ref = self._choose(base.err)
        full = self.enlarged(coarse) if self.enlarged is not None else bilinear(coarse, self.size)
        out = self.refiner(frames, half, torch.cat([base.hid, coarse], 1), full, chosen)
        return outputs(src, small, base, ref, out, out)

    def _shrunk(self, frame: Tensor) -> Tensor:
        return self.shrunk(frame) if self.shrunk is not None else bilinear(frame, self.small)

    def _choose(self, err: Tensor) -> tuple[Chosen, Tensor]:
        """The cells of highest err, and the map of those that are refined."""
        rows, columns = self.size[0] // CELL, self.size[1] // CELL
        flat = bilinear(err, (rows, columns)).reshape(rows * columns)
        best = flat.topk(self.patches)
        positive = (best.values > 0).to(err.dtype)
        ref = torch.zeros_like(flat).scatter(0, best.indices, positive)
        ref = ref.reshape(1, 1, rows, columns)
        cell = best.indices.to(torch.int32)
        row = torch.div(cell, columns, rounding_mode="floor")
        # Read back from the map, so that the map is a part of every graph and can be looked at.
        valid = ref.reshape(-1).index_select(0, cell)
        return Chosen(row, cell - row * columns, valid), ref


class MosaicRefiner(nn.Module):
    """The published refiner's weights, its last two convolutions rearranged into phases."""

    side: Tensor

    def __init__(self, refiner: Refiner, patches: int, width: int, height: int) -> None:
        super().__init__()
        self.width, self.height, self.patches = width, height, patches
        self.columns = max(1, math.isqrt(2 * patches))
        self.rows = -(-patches // self.columns)
        self.conv1, self.conv2 = refiner.conv1, refiner.conv2
        self.conv3_half, self.conv3_full, self.conv4 = _in_phases(refiner)
        self.register_buffer("side", torch.arange(FULL_SIDE, dtype=torch.int32))

    def forward(
        self, frames: tuple[Tensor, Tensor], half: Tensor, hidden: Tensor, full: Tensor, at: Chosen
    ) -> Tensor:
        """Refine the patches `at` in `full`.

        `half`: both frames at half size, 1 x 6; `hidden`: hid, pha, fgr residual of the base
        network, 1 x 36 x h x w; `full`: pha, fgr residual, 1 x 4 x H x W, where nothing is refined.
        """
        size = (half.shape[2], half.shape[3])
        x = torch.cat([bilinear(hidden, size), half], 1)
        x = self.conv1(functional.pad(x, (HALF_HALO,) * 4)).relu()
        x = self.conv2(x).relu()
        row, column = self._tiled(at.row), self._tiled(at.column)
        x = self.conv3_half(self._half_tiles(x, row, column))
        x = (x + self.conv3_full(self._full_tiles(frames, row, column))).relu()
        return self._merged(full, self.conv4(x), at)

    def _tiled(self, position: Tensor) -> Tensor:
        """One position for each tile, rows x 1 x columns x 1; tiles without a patch repeat 0."""
        spare = self.rows * self.columns - self.patches
        return functional.pad(position, (0, spare)).reshape(self.rows, 1, self.columns, 1)

    def _half_tiles(self, x: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """Windows of conv2's output (one pixel wider than the half-size frame on each side)."""
        channels, wide = x.shape[1], x.shape[3]
        side = self.side[:HALF_SIDE]
        down = 2 * row + side.reshape(1, -1, 1, 1)
        across = 2 * column + side
        pixels = x.permute(0, 2, 3, 1).reshape(-1, channels)
        tiles = pixels.index_select(0, (down * wide + across).reshape(-1))
        shape = (1, self.rows * HALF_SIDE, self.columns * HALF_SIDE, channels)
        return tiles.reshape(shape).permute(0, 3, 1, 2)

    def _full_tiles(self, frames: tuple[Tensor, ...], row: Tensor, column: Tensor) -> Tensor:
        """Windows of both frames, zero beyond the border."""
        down = CELL * row + (self.side - FULL_HALO).reshape(1, -1, 1, 1)
        across = CELL * column + (self.side - FULL_HALO)
        inside = _within(down, self.height) * _within(across, self.width)
        at = down.clamp(0, self.height - 1) * self.width + across.clamp(0, self.width - 1)
        shape = (1, -1, self.rows * FULL_SIDE, self.columns * FULL_SIDE)
        tiles = [
            frame.reshape(frame.shape[1], -1).index_select(1, at.reshape(-1)).reshape(shape)
            for frame in frames
        ]
        return torch.cat(tiles, 1) * inside.reshape(shape)

    def _merged(self, full: Tensor, phases: Tensor, at: Chosen) -> Tensor:
        """Write the middle of each tile, as rows of four pixels, over `full`."""
        channels = full.shape[1]
        tiles = phases.reshape(channels, 2, 2, self.rows, HALF_SIDE, self.columns, HALF_SIDE)
        middle = tiles[:, :, :, :, 1:-1, :, 1:-1]  # channel, y, x phase, row, y, column, x
        lines = middle.permute(0, 4, 1, 3, 5, 6, 2).reshape(channels, CELL, -1, CELL)
        lines = lines[:, :, : self.patches].reshape(-1, CELL)
        plane = torch.arange(channels, dtype=torch.int32).reshape(-1, 1, 1) * self.height
        down = plane + self.side[:CELL].reshape(1, -1, 1) + CELL * at.row
        where = (down * (self.width // CELL) + at.column).reshape(-1)
        target = full.reshape(-1, CELL)
        refined = at.valid.expand(channels, CELL, -1).reshape(-1, 1) > 0
        lines = torch.where(refined, lines, target.index_select(0, where))
        return target.index_copy(0, where.long(), lines).reshape(full.shape)


def _within(position: Tensor, size: int) -> Tensor:
    return ((position >= 0) & (position < size)).float()


def _in_phases(refiner: Refiner) -> tuple[nn.Conv2d, nn.Conv2d, nn.Conv2d]:
    """conv3 and conv4 at half size; output channels are (channel, y phase, x phase).

    Full-size pixel 2i + a, tap d of 0..2, is pixel 2i + a + d - 1: of half-size pixel
    i + floor((a + d - 1) / 2) the phase (a + d - 1) mod 2.  conv3's enlarged inputs are the same
    in all phases; its inputs at full size are read by one convolution of stride 2.
    """
    conv3, conv4 = refiner.conv3, refiner.conv4
    wide, features = conv4.in_channels, refiner.conv2.out_channels
    assert conv3.bias is not None
    assert conv4.bias is not None
    half = torch.zeros(wide, 2, 2, features, 3, 3, dtype=torch.float64)
    full = torch.zeros(wide, 2, 2, conv3.in_channels - features, 4, 4, dtype=torch.float64)
    last = torch.zeros(conv4.out_channels, 2, 2, wide, 2, 2, 3, 3, dtype=torch.float64)
    weight3, weight4 = conv3.weight.double(), conv4.weight.double()
    for y in range(2):
        for x in range(2):
            full[:, y, x, :, y : y + 3, x : x + 3] = weight3[:, features:]
            for down in range(3):
                for across in range(3):
                    i, j = (y + down - 1) // 2 + 1, (x + across - 1) // 2 + 1
                    half[:, y, x, :, i, j] += weight3[:, :features, down, across]
                    phase = ((y + down - 1) % 2, (x + across - 1) % 2)
                    last[:, y, x, :, phase[0], phase[1], i, j] += weight4[:, :, down, across]
    return (
        _convolution(half.reshape(4 * wide, features, 3, 3), None),
        _convolution(full.reshape(4 * wide, -1, 4, 4), conv3.bias, stride=2),
        _convolution(last.reshape(-1, 4 * wide, 3, 3), conv4.bias),
    )


def _convolution(weight: Tensor, bias: Tensor | None, stride: int = 1) -> nn.Conv2d:
    outputs, inputs, kernel, _ = weight.shape
    made = nn.Conv2d(inputs, outputs, kernel, stride, padding=1, bias=bias is not None)
    made.weight = nn.Parameter(weight.float(), requires_grad=False)
    if bias is not None:
        made.bias = nn.Parameter(bias.repeat_interleave(4).float(), requires_grad=False)
    return made
