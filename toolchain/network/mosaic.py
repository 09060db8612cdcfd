"""The sampling refiner in static shapes: the chosen patches laid side by side in one picture.

A fixed number of patches is chosen, so every shape is known.  Their windows, halo and all, are
gathered into a mosaic of tiles; there the last two convolutions run as over any picture, and the
middle of each tile is the refined patch.  Against refining everywhere this spares nine tenths of
the two convolutions at full size.  The first two run over the whole frame at half size: on
patches with their halo they would cost four fifths of that, and every window's copying.

On the mosaic, conv3 and conv4 are computed at half size, four phases at once (the pixels of one
2x2 block as channels): the nearest-neighbour enlargement between conv2 and conv3 then costs
nothing, and 48 output channels fill vectors that 12 do not.  conv3's blocks begin one pixel
before the patch, so that two taps each way are all that either convolution needs.  conv1 sees what
the base network tells it before it is enlarged, where that is by two.  The sums are those of the
published form, in another order.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolchain.definitions.ports import CELL
from toolchain.network.decoder import PartedDecoder
from toolchain.network.enlarged import EnlargedConvolution
from toolchain.network.fixed import Enlarge, Shrink, convolution
from toolchain.network.matting_refine import SEEN, Base, MattingNetwork, Outputs, base, outputs
from toolchain.network.refiner import FULL_HALO, HALF_HALO, Refiner
from toolchain.network.resize import bilinear

HALF_SIDE = CELL // 2 + 2  # half-size pixels of a tile: what conv3 and conv4 see of conv2's output
FULL_SIDE = 2 * HALF_SIDE  # full-size pixels of a tile
FRAMES = 6  # channels of both frames
WORTH_IT = 4  # at least so many cells for each patch, or the mosaic is no smaller than the frame


class Chosen(NamedTuple):
    """`row`, `column` of each patch's cell, int32, k; `valid`: 1 where err > 0, float32, k.

    What is not valid stands for the first one again.
    """

    row: Tensor
    column: Tensor
    valid: Tensor


def worth_it(network: MattingNetwork, width: int, height: int) -> bool:
    """Whether this form suits: a fixed number of patches, small beside the frame."""
    cells = (width // CELL) * (height // CELL)
    selection = network.selection
    return selection.mode == "sampling" and WORTH_IT * selection.pixels // CELL**2 <= cells


class MosaicMatting(nn.Module):
    """`network` (BatchNorm folded) for frames of one size; outputs as `MattingNetwork` gives."""

    def __init__(self, network: MattingNetwork, width: int, height: int) -> None:
        super().__init__()
        self.backbone, self.aspp = network.backbone, network.aspp
        self.decoder = PartedDecoder(network.decoder, SEEN)
        self.size = (height, width)
        scale = network.backbone_scale
        self.small = (int(height * scale), int(width * scale))
        self.patches = network.selection.pixels // CELL**2
        self.refiner = MosaicRefiner(network.refiner, self.patches, width, height, self.small)
        factor = round(1 / scale)
        whole = (factor * self.small[0], factor * self.small[1]) == self.size
        self.halved = Shrink(2, width)
        self.shrunk = Shrink(factor, width) if whole and factor % 2 == 0 else None
        self.enlarged = Enlarge(*self.small, factor) if whole else None

    def forward(self, src: Tensor, bgr: Tensor) -> Outputs:
        """`src`, `bgr`: 1 x 3 x H x W, float32, RGB 0..1."""
        frames = (src, bgr)
        small = torch.cat([self._shrunk(frame) for frame in frames], 1)
        half = torch.cat([self.halved(frame) for frame in frames], 1)
        told = self._base(small)
        coarse = torch.cat([told.pha, told.fgr], 1)
        chosen, ref = self._choose(told.err)
        full = self.enlarged(coarse) if self.enlarged is not None else bilinear(coarse, self.size)
        out = self.refiner(frames, half, torch.cat([told.hid, coarse], 1), full, chosen)
        return outputs(src, small, told, ref, out, out)

    def _base(self, src_bgr_sm: Tensor) -> Base:
        features = self.backbone(src_bgr_sm)
        return base(*self.decoder(self.aspp(features.x16), features))

    def _shrunk(self, frame: Tensor) -> Tensor:
        return self.shrunk(frame) if self.shrunk is not None else bilinear(frame, self.small)

    def _choose(self, err: Tensor) -> tuple[Chosen, Tensor]:
        """The cells of highest err, and the map of those that are refined."""
        rows, columns = self.size[0] // CELL, self.size[1] // CELL
        flat = bilinear(err, (rows, columns)).reshape(rows * columns)
        best = flat.topk(self.patches)
        positive = (best.values > 0).to(err.dtype)
        nowhere = flat.clamp(max=0.0)  # zeros; as a constant they would fill the file
        ref = nowhere.scatter(0, best.indices, positive)
        ref = ref.reshape(1, 1, rows, columns)
        cell = best.indices.to(torch.int32)
        # Read back from the map, so that the map is a part of every graph and can be looked at.
        valid = ref.reshape(-1).index_select(0, cell)
        cell = torch.where(valid > 0, cell, cell[:1])
        row = torch.div(cell, columns, rounding_mode="floor")
        return Chosen(row, cell - row * columns, valid), ref


class MosaicRefiner(nn.Module):
    """The published refiner's weights, its last two convolutions rearranged into phases."""

    side: Tensor

    def __init__(
        self, refiner: Refiner, patches: int, width: int, height: int, small: tuple[int, int]
    ) -> None:
        super().__init__()
        self.width, self.height, self.patches = width, height, patches
        self.columns = max(1, math.isqrt(2 * patches))
        self.rows = -(-patches // self.columns)
        self.conv1 = _FirstConvolution(refiner.conv1, small, (height // 2, width // 2))
        self.conv2 = refiner.conv2
        self.conv3_half, self.conv3_full, self.conv4 = _in_phases(refiner)
        self.register_buffer("side", torch.arange(FULL_SIDE, dtype=torch.int32))

    def forward(
        self, frames: tuple[Tensor, Tensor], half: Tensor, hidden: Tensor, full: Tensor, at: Chosen
    ) -> Tensor:
        """Refine the patches `at` in `full`.

        `half`: both frames at half size, 1 x 6; `hidden`: hid, pha, fgr residual of the base
        network, 1 x 36 x h x w; `full`: pha, fgr residual, 1 x 4 x H x W, where nothing is refined.
        """
        x = self.conv1(hidden, half).relu()
        x = self.conv2(x).relu()
        row, column = self._tiled(at.row), self._tiled(at.column)
        x = self.conv3_half(_longer(self._half_tiles(x, row, column), 1))
        x = (x + self.conv3_full(_longer(self._full_tiles(frames, row, column), 2))).relu()
        return self._merged(full, self.conv4(_longer(x, 1)), at)

    def _tiled(self, position: Tensor) -> Tensor:
        """One position for each tile, rows x 1 x columns x 1; tiles without a patch repeat 0."""
        spare = self.rows * self.columns - self.patches
        return functional.pad(position, (0, spare)).reshape(self.rows, 1, self.columns, 1)

    def _half_tiles(self, x: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """Windows of conv2's output (one pixel wider than the half-size frame on each side).

        Taken two pixels at a time, where they lie side by side.
        """
        channels, pairs = x.shape[1], x.shape[3] // 2
        down = 2 * row + self.side[:HALF_SIDE].reshape(1, -1, 1, 1)
        across = column + self.side[: HALF_SIDE // 2]
        pixels = x.permute(0, 2, 3, 1).reshape(-1, 2 * channels)
        tiles = pixels.index_select(0, (down * pairs + across).reshape(-1))
        shape = (1, self.rows * HALF_SIDE, self.columns * HALF_SIDE, channels)
        return tiles.reshape(shape).permute(0, 3, 1, 2)

    def _full_tiles(self, frames: tuple[Tensor, ...], row: Tensor, column: Tensor) -> Tensor:
        """Windows of both frames, zero beyond the border."""
        down = CELL * row + (self.side - FULL_HALO).reshape(1, -1, 1, 1)
        across = CELL * column + (self.side - FULL_HALO)
        near_down, near_across = down.clamp(0, self.height - 1), across.clamp(0, self.width - 1)
        inside = (near_down == down) & (near_across == across)
        at = (near_down * self.width + near_across).reshape(-1)
        shape = (1, -1, self.rows * FULL_SIDE, self.columns * FULL_SIDE)
        tiles = [
            frame.reshape(frame.shape[1], -1).index_select(1, at).reshape(shape) for frame in frames
        ]
        return torch.cat(tiles, 1) * inside.float().reshape(shape)

    def _merged(self, full: Tensor, phases: Tensor, at: Chosen) -> Tensor:
        """Write the first 2x2 blocks of each tile, as rows of four pixels, over `full`."""
        channels, blocks = full.shape[1], CELL // 2
        tiles = phases.reshape(channels, 2, 2, self.rows, HALF_SIDE, self.columns, HALF_SIDE)
        patches = tiles[..., :blocks, :, :blocks]  # channel, y, x phase, row, y, column, x
        lines = patches.permute(0, 4, 1, 3, 5, 6, 2).reshape(channels, CELL, -1, CELL)
        lines = lines[:, :, : self.patches].reshape(-1, self.patches, CELL)
        plane = torch.arange(channels, dtype=torch.int32).reshape(-1, 1, 1) * self.height
        down = plane + self.side[:CELL].reshape(1, -1, 1) + CELL * at.row
        where = (down * (self.width // CELL) + at.column).reshape(-1, self.patches)
        target = full.reshape(-1, CELL)
        lines = _or_first(lines, target.index_select(0, where[:, 0]), at.valid)
        return target.index_copy(0, where.reshape(-1).long(), lines).reshape(full.shape)


def _or_first(lines: Tensor, there: Tensor, valid: Tensor) -> Tensor:
    """The lines of all patches, those of the first one for patches that are not valid.

    Which stand for it; if not even that one is valid, what is `there` in its place.  Reading what
    is there for every patch would take as long as a large convolution.
    """
    valid = valid.reshape(1, -1, 1) > 0
    first = torch.where(valid[:, :1], lines[:, :1], there.unsqueeze(1))
    return torch.where(valid, lines, first).reshape(-1, CELL)


class _Resized(nn.Module):
    """A convolution of a picture enlarged by any factor, with zeros around it."""

    def __init__(self, weight: Tensor, height: int, width: int) -> None:
        super().__init__()
        self.size = (height, width)
        self.conv = convolution(weight, padding=HALF_HALO)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(bilinear(x, self.size))
        return y


class _FirstConvolution(nn.Module):
    """conv1, on what the base network tells and on both frames at half size one by one.

    Joined they would be copied, and laid out anew.  `small`: the size of what is told.
    """

    def __init__(self, conv1: nn.Conv2d, small: tuple[int, int], half: tuple[int, int]) -> None:
        super().__init__()
        weight = conv1.weight.detach()
        hidden = weight[:, :-FRAMES]
        if (2 * small[0], 2 * small[1]) == half:
            self.hidden: nn.Module = EnlargedConvolution(hidden, *small)
        else:
            self.hidden = _Resized(hidden, *half)
        self.frames = convolution(weight[:, -FRAMES:], conv1.bias, padding=HALF_HALO)

    def forward(self, hidden: Tensor, half: Tensor) -> Tensor:
        y: Tensor = self.frames(half) + self.hidden(hidden)
        return y


def _longer(x: Tensor, pixels: int) -> Tensor:
    """Pixels added after the last, so that the last tile has as many results as the others."""
    return functional.pad(x, (0, pixels, 0, pixels))


def _in_phases(refiner: Refiner) -> tuple[nn.Conv2d, nn.Conv2d, nn.Conv2d]:
    """conv3 and conv4 at half size; output channels are (channel, y phase, x phase).

    A patch has pixels 0..3, of half-size pixels 0 and 1.  Block b of conv3, phase a, is pixel
    2b - 1 + a; its tap d of 0..2 reads pixel 2b - 2 + a + d, enlarged from half-size pixel
    b - 1 + (a + d) // 2: of the tile, which begins at half-size pixel -1, pixel b or b + 1; at full
    size, where it begins at pixel -2, pixel 2b + a + d.  Block m of conv4, phase a, is pixel
    2m + a; its tap d reads pixel 2m + a + d - 1: block m + (a + d) // 2, phase (a + d) mod 2.
    """
    conv3, conv4 = refiner.conv3, refiner.conv4
    wide, features = conv4.in_channels, refiner.conv2.out_channels
    assert conv3.bias is not None
    assert conv4.bias is not None
    half = torch.zeros(wide, 2, 2, features, 2, 2, dtype=torch.float64)
    full = torch.zeros(wide, 2, 2, conv3.in_channels - features, 4, 4, dtype=torch.float64)
    last = torch.zeros(conv4.out_channels, 2, 2, wide, 2, 2, 2, 2, dtype=torch.float64)
    weight3, weight4 = conv3.weight.double(), conv4.weight.double()
    for y, x, down, across in itertools.product(range(2), range(2), range(3), range(3)):
        i, j = (y + down) // 2, (x + across) // 2
        half[:, y, x, :, i, j] += weight3[:, :features, down, across]
        full[:, y, x, :, y + down, x + across] = weight3[:, features:, down, across]
        phase = (y + down) % 2, (x + across) % 2
        last[:, y, x, :, phase[0], phase[1], i, j] = weight4[:, :, down, across]
    return (
        convolution(half.reshape(4 * wide, features, 2, 2)),
        convolution(full.reshape(4 * wide, -1, 4, 4), conv3.bias.repeat_interleave(4), stride=2),
        convolution(last.reshape(-1, 4 * wide, 2, 2), conv4.bias.repeat_interleave(4)),
    )
