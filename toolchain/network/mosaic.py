"""The network with sampling in static shapes: the selected patches side by side in one image.

A fixed number of patches is selected, so every shape is known.  Their windows, with halo, are
gathered into a mosaic of tiles; there the last two convolutions run as over any image, and the
middle of each tile is the refined patch.  Compared with refining everywhere, this saves nine
tenths of these two convolutions at full size.  The first two run over the whole frame at half
size: on patches with their halo they would cost four fifths of that, plus copying every window.

On the mosaic, conv3 and conv4 are computed at half size, four phases at once (the pixels of one
2x2 block as channels): the nearest-neighbour upsampling between conv2 and conv3 then costs
nothing, and 48 output channels fill vectors that 12 do not.  The blocks of conv3 begin one pixel
before the patch, so that both convolutions need only two taps along each axis.  Where the outputs
of the base network are upsampled by 2, conv1 reads them before the upsampling.  The sums are those
of the published form, in another order.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolchain.definitions.ports import CELL
from toolchain.network.backbones.features import FRAME_CHANNELS
from toolchain.network.convolution import make_convolution
from toolchain.network.decoder import SplitDecoder
from toolchain.network.fixed_resize import Downsample, Upsample
from toolchain.network.matting import (
    VISIBLE_CHANNELS,
    BaseOutputs,
    MattingNetwork,
    Outputs,
    assemble_outputs,
    split_base_outputs,
)
from toolchain.network.refiner import FULL_HALO, HALF_HALO, Refiner, select_highest
from toolchain.network.resize import bilinear
from toolchain.network.upsampling_convolution import UpsamplingConvolution

HALF_SIDE = CELL // 2 + 2  # half-size pixels of a tile: what conv3 and conv4 read of conv2's output
FULL_SIDE = 2 * HALF_SIDE  # full-size pixels of a tile
MIN_CELLS_PER_PATCH = 4  # with fewer, the mosaic is no smaller than the frame


class SelectedPatches(NamedTuple):
    """The k patches of highest err.  Those that are not valid repeat the first one.

    Attributes:
        row: Row of each patch's cell, int32.
        column: Column of each patch's cell, int32.
        valid: 1 where err > 0, else 0, float32.
    """

    row: Tensor
    column: Tensor
    valid: Tensor


def is_mosaic_suitable(network: MattingNetwork, width: int, height: int) -> bool:
    """Whether `network` selects a fixed number of patches that is small relative to the frame."""
    cells = (width // CELL) * (height // CELL)
    selection = network.selection
    patches = selection.pixels // CELL**2
    return selection.mode == "sampling" and MIN_CELLS_PER_PATCH * patches <= cells


class MosaicMatting(nn.Module):
    """`network` for frames of one size, in static shapes; the same outputs.

    Args:
        network: The network, its BatchNorms folded.
        width: Width of the frames in pixels.
        height: Height of the frames in pixels.
    """

    def __init__(self, network: MattingNetwork, width: int, height: int) -> None:
        super().__init__()
        self.backbone, self.aspp = network.backbone, network.aspp
        self.decoder = SplitDecoder(network.decoder, VISIBLE_CHANNELS)
        self.size = (height, width)
        scale = network.backbone_scale
        self.small = (int(height * scale), int(width * scale))
        self.patches = network.selection.pixels // CELL**2
        self.refiner = MosaicRefiner(network.refiner, self.patches, width, height, self.small)
        factor = round(1 / scale)
        whole = (factor * self.small[0], factor * self.small[1]) == self.size
        self.halved = Downsample(2, width)
        self.shrunk = Downsample(factor, width) if whole and factor % 2 == 0 else None
        self.enlarged = Upsample(*self.small, factor) if whole else None

    def forward(self, src: Tensor, bgr: Tensor) -> Outputs:
        """Run the network.

        Args:
            src: Frame, 1 x 3 x H x W, float32, RGB 0..1.
            bgr: Clean plate, the same shape.
        """
        frames = (src, bgr)
        small = torch.cat([self._downsample(frame) for frame in frames], 1)
        half = torch.cat([self.halved(frame) for frame in frames], 1)
        base = self._run_base(small)
        coarse = torch.cat([base.pha, base.fgr], 1)
        selected, ref = self._select(base.err)
        full = self.enlarged(coarse) if self.enlarged is not None else bilinear(coarse, self.size)
        out = self.refiner(frames, half, torch.cat([base.hid, coarse], 1), full, selected)
        return assemble_outputs(src, small, base, ref, out, out)

    def _run_base(self, src_bgr_sm: Tensor) -> BaseOutputs:
        features = self.backbone(src_bgr_sm)
        return split_base_outputs(*self.decoder(self.aspp(features.x16), features))

    def _downsample(self, frame: Tensor) -> Tensor:
        return self.shrunk(frame) if self.shrunk is not None else bilinear(frame, self.small)

    def _select(self, err: Tensor) -> tuple[SelectedPatches, Tensor]:
        """Select the cells of highest err; return them and the map of those that are refined."""
        rows, columns = self.size[0] // CELL, self.size[1] // CELL
        flat = bilinear(err, (rows, columns)).reshape(rows * columns)
        cell = select_highest(flat, self.patches)
        positive = (flat.index_select(0, cell) > 0).to(err.dtype)
        zeros = flat.clamp(max=0.0)  # computed: a constant of this size would enlarge the file
        ref = zeros.scatter(0, cell.long(), positive)
        ref = ref.reshape(1, 1, rows, columns)
        # Read back from the map, so that the map is a part of every graph and can be inspected.
        valid = ref.reshape(-1).index_select(0, cell)
        cell = torch.where(valid > 0, cell, cell[:1])
        row = torch.div(cell, columns, rounding_mode="floor")
        return SelectedPatches(row, cell - row * columns, valid), ref


class MosaicRefiner(nn.Module):
    """The published refiner's weights, the last two convolutions rearranged into phases.

    Args:
        refiner: The refiner, its BatchNorms folded.
        patches: Number of patches.
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.
        small: Height and width of the base network's outputs.
    """

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
        self.conv3_half, self.conv3_full, self.conv4 = _rearrange_into_phases(refiner)
        self.register_buffer("side", torch.arange(FULL_SIDE, dtype=torch.int32))

    def forward(
        self,
        frames: tuple[Tensor, Tensor],
        half: Tensor,
        hidden: Tensor,
        full: Tensor,
        selected: SelectedPatches,
    ) -> Tensor:
        """Refine the selected patches.

        Args:
            frames: Frame and clean plate, each 1 x 3 x H x W.
            half: Frame and clean plate at half size, 1 x 6 x H/2 x W/2.
            hidden: Hidden channels, pha and fgr residual of the base network,
                1 x (C + 4) x h x w.
            full: pha and fgr residual, 1 x 4 x H x W, used where no patch is refined.
            selected: The patches.

        Returns:
            pha and fgr residual, 1 x 4 x H x W, not clamped.
        """
        x = self.conv1(hidden, half).relu()
        x = self.conv2(x).relu()
        row, column = self._arrange(selected.row), self._arrange(selected.column)
        x = self.conv3_half(_pad_end(self._gather_half_tiles(x, row, column), 1))
        tiles = _pad_end(self._gather_full_tiles(frames, row, column), 2)
        x = (x + self.conv3_full(tiles)).relu()
        return self._merge(full, self.conv4(_pad_end(x, 1)), selected)

    def _arrange(self, position: Tensor) -> Tensor:
        """One position per tile, rows x 1 x columns x 1; tiles without a patch get position 0."""
        unused = self.rows * self.columns - self.patches
        return functional.pad(position, (0, unused)).reshape(self.rows, 1, self.columns, 1)

    def _gather_half_tiles(self, x: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """Windows of conv2's output, which is one pixel wider than the frame on each side.

        Gathered as pairs of neighbouring pixels.
        """
        channels, pairs = x.shape[1], x.shape[3] // 2
        down = 2 * row + self.side[:HALF_SIDE].reshape(1, -1, 1, 1)
        across = column + self.side[: HALF_SIDE // 2]
        pixels = x.permute(0, 2, 3, 1).reshape(-1, 2 * channels)
        tiles = pixels.index_select(0, (down * pairs + across).reshape(-1))
        shape = (1, self.rows * HALF_SIDE, self.columns * HALF_SIDE, channels)
        return tiles.reshape(shape).permute(0, 3, 1, 2)

    def _gather_full_tiles(self, frames: tuple[Tensor, ...], row: Tensor, column: Tensor) -> Tensor:
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

    def _merge(self, full: Tensor, phases: Tensor, selected: SelectedPatches) -> Tensor:
        """Write the first 2x2 blocks of each tile, as rows of four pixels, over `full`."""
        channels, blocks = full.shape[1], CELL // 2
        tiles = phases.reshape(channels, 2, 2, self.rows, HALF_SIDE, self.columns, HALF_SIDE)
        patches = tiles[..., :blocks, :, :blocks]  # channel, y, x phase, row, y, column, x
        lines = patches.permute(0, 4, 1, 3, 5, 6, 2).reshape(channels, CELL, -1, CELL)
        lines = lines[:, :, : self.patches].reshape(-1, self.patches, CELL)
        plane = torch.arange(channels, dtype=torch.int32).reshape(-1, 1, 1) * self.height
        down = plane + self.side[:CELL].reshape(1, -1, 1) + CELL * selected.row
        where = (down * (self.width // CELL) + selected.column).reshape(-1, self.patches)
        target = full.reshape(-1, CELL)
        present = target.index_select(0, where[:, 0])
        lines = _replace_invalid(lines, present, selected.valid)
        return target.index_copy(0, where.reshape(-1).long(), lines).reshape(full.shape)


def _replace_invalid(lines: Tensor, present: Tensor, valid: Tensor) -> Tensor:
    """Replace the lines of patches that are not valid by those of the first patch.

    If the first one is not valid either, use the lines `present` in its place.  To read the
    present lines of every patch would take as long as a large convolution.
    """
    valid = valid.reshape(1, -1, 1) > 0
    first = torch.where(valid[:, :1], lines[:, :1], present.unsqueeze(1))
    return torch.where(valid, lines, first).reshape(-1, CELL)


class _ResizedConvolution(nn.Module):
    """A convolution of an image resized bilinearly by any factor, padded with zeros."""

    def __init__(self, weight: Tensor, height: int, width: int) -> None:
        super().__init__()
        self.size = (height, width)
        self.conv = make_convolution(weight, padding=HALF_HALO)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(bilinear(x, self.size))
        return y


class _FirstConvolution(nn.Module):
    """conv1, applied separately to the outputs of the base network and to the frames.

    Concatenated, they would be copied and their layout changed.  `small`: size of those outputs.
    """

    def __init__(self, conv1: nn.Conv2d, small: tuple[int, int], half: tuple[int, int]) -> None:
        super().__init__()
        weight = conv1.weight.detach()
        hidden = weight[:, :-FRAME_CHANNELS]
        if (2 * small[0], 2 * small[1]) == half:
            self.hidden: nn.Module = UpsamplingConvolution(hidden, *small)
        else:
            self.hidden = _ResizedConvolution(hidden, *half)
        self.frames = make_convolution(weight[:, -FRAME_CHANNELS:], conv1.bias, padding=HALF_HALO)

    def forward(self, hidden: Tensor, half: Tensor) -> Tensor:
        y: Tensor = self.frames(half) + self.hidden(hidden)
        return y


def _pad_end(x: Tensor, pixels: int) -> Tensor:
    """Add `pixels` zeros at the end of each axis, so that the last tile has all its results."""
    return functional.pad(x, (0, pixels, 0, pixels))


def _rearrange_into_phases(refiner: Refiner) -> tuple[nn.Conv2d, nn.Conv2d, nn.Conv2d]:
    """conv3 and conv4 at half size; output channels are (channel, y phase, x phase).

    A patch has pixels 0..3, of half-size pixels 0 and 1.  Block b of conv3, phase a, is pixel
    2b - 1 + a; its tap d of 0..2 reads pixel 2b - 2 + a + d.  In the upsampled image this is
    half-size pixel b - 1 + (a + d) // 2, which is pixel b or b + 1 of the tile, since the tile
    begins at half-size pixel -1.  At full size, where the tile begins at pixel -2, it is pixel
    2b + a + d of the tile.  Block m of conv4, phase a, is pixel 2m + a; its tap d reads pixel
    2m + a + d - 1: block m + (a + d) // 2, phase (a + d) mod 2.
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
    full_bias = conv3.bias.repeat_interleave(4)
    return (
        make_convolution(half.reshape(4 * wide, features, 2, 2)),
        make_convolution(full.reshape(4 * wide, -1, 4, 4), full_bias, stride=2),
        make_convolution(last.reshape(-1, 4 * wide, 2, 2), conv4.bias.repeat_interleave(4)),
    )
