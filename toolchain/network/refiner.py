"""The refiner: full-resolution correction of the patches with the largest expected error.

Two forms give the same numbers.  `Refiner.forward` is the published one: it cuts out the selected
patches, refines them and puts them back.  `Refiner.refine_everywhere` refines the whole frame at
once; masked by the selection, this is a graph of static shapes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolchain.catalog.arguments import ExportSettings
from toolchain.definitions.ports import CELL
from toolchain.definitions.refinement import RefineMode
from toolchain.network.backbones.features import FRAME_CHANNELS
from toolchain.network.resize import bilinear

OUTPUTS = 1 + 3  # pha, fgr residual
HALF_HALO = 3  # half-size pixels beyond a cell that the four convolutions read
FULL_HALO = 2  # full-size pixels beyond a patch that conv3 and conv4 read


@dataclass(frozen=True)
class Selection:
    """Which cells are refined.  A cell is one pixel of the quarter-size maps: a 4x4 patch.

    Attributes:
        mode: "sampling": the `pixels` // 16 cells of highest err, of those only cells with
            err > 0.  "thresholding": cells with err > `threshold`.  "full": every cell.
        pixels: Number of pixels of the frame.
        threshold: Value of err, 0..1.
    """

    mode: RefineMode = "sampling"
    pixels: int = 80_000
    threshold: float = 0.1

    @classmethod
    def from_settings(cls, settings: ExportSettings) -> Selection:
        """Take the selection from the settings of an export."""
        return cls(settings.mode, settings.sample_pixels, settings.threshold)

    def choose(self, err: Tensor, *, static: bool = False) -> Tensor:
        """Choose the cells to refine.

        Of cells with exactly the same err the first ones are taken, row by row.  So do ONNX
        Runtime's and OpenVINO's top-k; PyTorch's top-k takes any of them.

        Args:
            err: Expected error at quarter size, B x 1 x h x w, 0..1.
            static: Use top-k, for a graph of one frame that is exported to those runtimes.

        Returns:
            1.0 for cells to refine, else 0.0; shape and type of `err`.

        Raises:
            ValueError: The mode is not known.
        """
        if self.mode == "full":
            return torch.ones_like(err)
        if self.mode == "thresholding":
            return (err > self.threshold).to(err.dtype)
        if self.mode != "sampling":
            raise ValueError(f"unknown refine mode {self.mode!r}")
        batch, _, height, width = err.shape
        cells = min(self.pixels // CELL**2, height * width)
        flat = err.reshape(batch, height * width)
        if static:
            chosen = _are_highest(flat.reshape(-1), cells).to(err.dtype).reshape(flat.shape)
        else:
            best = flat.sort(dim=1, descending=True, stable=True).indices[:, :cells]
            chosen = torch.zeros_like(flat).scatter(1, best, 1.0)
        return (chosen * (flat > 0).to(err.dtype)).reshape(batch, 1, height, width)


def _are_highest(flat: Tensor, count: int) -> Tensor:
    """Return which `count` values of a vector are the highest, of equal ones the first; bool.

    Only the lowest of the highest values is taken from top-k.  Which of several equal values a
    runtime's top-k returns differs between runtimes, and a stable one is twelve times as slow as
    the whole network in OpenVINO.
    """
    lowest = flat.topk(count).values[-1:]
    higher, equal = flat > lowest, flat == lowest
    missing = count - higher.to(torch.int32).sum(dtype=torch.int32)
    return higher | (equal & (equal.to(torch.int32).cumsum(0, dtype=torch.int32) <= missing))


def select_highest(flat: Tensor, count: int) -> Tensor:
    """Return the indices of the `count` highest values of a vector, ascending, int32.

    Of equal values the first ones are taken.
    """
    chosen = _are_highest(flat, count)
    place = chosen.to(torch.int32).cumsum(0, dtype=torch.int32) - 1
    place = torch.where(chosen, place, count)  # all others go to a place behind the last
    index = (chosen | ~chosen).to(torch.int32).cumsum(0, dtype=torch.int32) - 1
    places = torch.zeros(count + 1, dtype=torch.int32)
    return places.scatter(0, place.long(), index)[:count]


@dataclass(frozen=True)
class Shift:
    """Offset of a patch's windows from their place, for diagnostics.

    Attributes:
        half: Pixels (down, right) at half size.
        full: Pixels (down, right) at full size.
    """

    half: tuple[int, int] = (0, 0)
    full: tuple[int, int] = (0, 0)


class Refiner(nn.Module):
    """The four convolutions, and the two forms of applying them.

    Args:
        hidden: Number of hidden channels of the base network.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(hidden + OUTPUTS + FRAME_CHANNELS, 24, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(24)
        self.conv2 = nn.Conv2d(24, 16, 3, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.conv3 = nn.Conv2d(16 + FRAME_CHANNELS, 12, 3, bias=False)
        self.bn3 = nn.BatchNorm2d(12)
        self.conv4 = nn.Conv2d(12, OUTPUTS, 3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, src_bgr: Tensor, coarse: Tensor, hid: Tensor, ref: Tensor) -> Tensor:
        """Refine the selected patches, one by one (the published form).

        Args:
            src_bgr: Frame and clean plate, B x 6 x H x W.
            coarse: pha and fgr residual of the base network, B x 4 x h x w.
            hid: Hidden channels of the base network, B x C x h x w.
            ref: Map of the cells to refine, B x 1 x H/4 x W/4.

        Returns:
            pha and fgr residual, B x 4 x H x W, not clamped.
        """
        height, width = src_bgr.shape[2:]
        out = bilinear(coarse, (height, width))
        cells = torch.nonzero(ref[:, 0] > 0)
        if cells.shape[0] == 0:
            return out
        half = self._make_half_input(src_bgr, coarse, hid)
        patches = self.refine(
            _crop(half, cells, CELL // 2, HALF_HALO), _crop(src_bgr, cells, CELL, FULL_HALO)
        )
        grid = out.reshape(-1, OUTPUTS, height // CELL, CELL, width // CELL, CELL)
        grid = grid.permute(0, 2, 4, 1, 3, 5).contiguous()
        grid[cells[:, 0], cells[:, 1], cells[:, 2]] = patches
        return grid.permute(0, 3, 1, 4, 2, 5).reshape(out.shape)

    def refine_everywhere(self, src_bgr: Tensor, coarse: Tensor, hid: Tensor) -> Tensor:
        """Refine every patch at once.  Arguments and result as in `forward`."""
        half = self._make_half_input(src_bgr, coarse, hid)
        half = functional.pad(half, (HALF_HALO,) * 4)
        full = functional.pad(src_bgr, (FULL_HALO,) * 4)
        return self.refine(half, full)

    def refine(self, half: Tensor, full: Tensor) -> Tensor:
        """Apply the four convolutions, without padding, to windows that include their halo.

        Args:
            half: Half-size windows: hidden channels, pha, fgr residual, frame and clean plate,
                N x (C + 10) x (a + 6) x (b + 6).
            full: Full-size windows: frame and clean plate, N x 6 x (2a + 4) x (2b + 4).

        Returns:
            pha and fgr residual, N x 4 x 2a x 2b, not clamped.
        """
        x = self.relu(self.bn1(self.conv1(half)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
        x = self.relu(self.bn3(self.conv3(torch.cat([x, full], dim=1))))
        y: Tensor = self.conv4(x)
        return y

    def _make_half_input(self, src_bgr: Tensor, coarse: Tensor, hid: Tensor) -> Tensor:
        size = (src_bgr.shape[2] // 2, src_bgr.shape[3] // 2)
        x = bilinear(torch.cat([hid, coarse], dim=1), size)
        return torch.cat([x, bilinear(src_bgr, size)], dim=1)


def _crop(x: Tensor, cells: Tensor, size: int, halo: int) -> Tensor:
    """Cut windows of `size` + 2 `halo` pixels at `cells`, N x (batch, row, column); zero-padded."""
    padded = functional.pad(x, (halo,) * 4)
    windows = padded.unfold(2, size + 2 * halo, size).unfold(3, size + 2 * halo, size)
    windows = windows.permute(0, 2, 3, 1, 4, 5)
    return windows[cells[:, 0], cells[:, 1], cells[:, 2]]
