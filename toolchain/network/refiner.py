"""The refiner: full-resolution correction of the patches where the base network doubts itself.

Two forms give the same numbers.  `Refiner.forward` is the published one: it cuts the selected
patches out, refines them and puts them back.  `Refiner.everywhere` refines the whole frame at
once; masked by the selection it is what a static graph needs (see `network.static`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolchain.definitions.ports import CELL
from toolchain.network.resize import bilinear

RefineMode = Literal["sampling", "thresholding", "full"]
HALF_HALO = 3  # half-size pixels that conv1 and conv2 (and conv3, conv4 after) reach beyond a cell
FULL_HALO = 2  # full-size pixels that conv3 and conv4 reach beyond a patch


@dataclass(frozen=True)
class Selection:
    """Which cells are refined.

    `sampling`: the `pixels` // 16 cells of highest err, of those only cells with err > 0.
    `thresholding`: cells with err > `threshold`.  `full`: every cell.
    """

    mode: RefineMode = "sampling"
    pixels: int = 80_000
    threshold: float = 0.1

    def choose(self, err: Tensor, *, static: bool = False) -> Tensor:
        """Quarter-size err, B x 1 x h x w, 0..1 -> the same shape, 1.0 where refined, else 0.0.

        Of cells with exactly the same err the first ones are taken, row by row.  PyTorch's top-k
        takes any of them; ONNX Runtime's and OpenVINO's take the first.  `static`: by top-k, for
        an export that ends there.
        """
        if self.mode == "full":
            return torch.ones_like(err)
        if self.mode == "thresholding":
            return (err > self.threshold).to(err.dtype)
        batch, _, height, width = err.shape
        cells = min(self.pixels // CELL**2, height * width)
        flat = err.reshape(batch, height * width)
        if static:
            best = flat.topk(cells, dim=1).indices
        else:
            best = flat.sort(dim=1, descending=True, stable=True).indices[:, :cells]
        chosen = torch.zeros_like(flat).scatter(1, best, 1.0)
        return (chosen * (flat > 0).to(err.dtype)).reshape(batch, 1, height, width)


@dataclass(frozen=True)
class Shift:
    """How far beside its place a patch is cut, pixels down and right, at half and at full size.

    Only to ask whether somebody else's patches are cut so.
    """

    half: tuple[int, int] = (0, 0)
    full: tuple[int, int] = (0, 0)


NONE = Shift()


class Refiner(nn.Module):
    """Weights of the four convolutions, and the two forms of applying them."""

    def __init__(self, hidden: int = 32) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(hidden + 4 + 6, 24, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(24)
        self.conv2 = nn.Conv2d(24, 16, 3, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.conv3 = nn.Conv2d(16 + 6, 12, 3, bias=False)
        self.bn3 = nn.BatchNorm2d(12)
        self.conv4 = nn.Conv2d(12, 4, 3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, src_bgr: Tensor, coarse: Tensor, hid: Tensor, ref: Tensor) -> Tensor:
        """Refine the selected patches, one by one (the published form).

        `src_bgr` B x 6 x H x W; `coarse` (pha, fgr residual) B x 4 x h x w; `hid` B x 32 x h x w;
        `ref` B x 1 x H/4 x W/4.  Returns (pha, fgr residual) B x 4 x H x W, not clamped.
        """
        height, width = src_bgr.shape[2:]
        out = bilinear(coarse, (height, width))
        cells = torch.nonzero(ref[:, 0] > 0)
        if cells.shape[0] == 0:
            return out
        patches = self.patches(src_bgr, coarse, hid, cells)
        grid = out.reshape(-1, 4, height // CELL, CELL, width // CELL, CELL)
        grid = grid.permute(0, 2, 4, 1, 3, 5).contiguous()
        grid[cells[:, 0], cells[:, 1], cells[:, 2]] = patches
        return grid.permute(0, 3, 1, 4, 2, 5).reshape(out.shape)

    def patches(
        self, src_bgr: Tensor, coarse: Tensor, hid: Tensor, cells: Tensor, shift: Shift = NONE
    ) -> Tensor:
        """The patches at `cells`, N x (batch, row, column) -> N x 4 x 4 x 4.  See `forward`."""
        half = self._half_input(src_bgr, coarse, hid)
        return self.refine(
            _crop(half, cells, CELL // 2, HALF_HALO, shift.half),
            _crop(src_bgr, cells, CELL, FULL_HALO, shift.full),
        )

    def everywhere(self, src_bgr: Tensor, coarse: Tensor, hid: Tensor) -> Tensor:
        """Refine every patch at once.  Shapes as in `forward`."""
        half = self._half_input(src_bgr, coarse, hid)
        half = functional.pad(half, (HALF_HALO,) * 4)
        full = functional.pad(src_bgr, (FULL_HALO,) * 4)
        return self.refine(half, full)

    def refine(self, half: Tensor, full: Tensor) -> Tensor:
        """The four convolutions, without padding, on windows that carry their halo.

        `half` N x 42 x (a + 6) x (b + 6), `full` N x 6 x (2a + 4) x (2b + 4) -> N x 4 x 2a x 2b.
        """
        x = self.relu(self.bn1(self.conv1(half)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
        x = self.relu(self.bn3(self.conv3(torch.cat([x, full], dim=1))))
        y: Tensor = self.conv4(x)
        return y

    def _half_input(self, src_bgr: Tensor, coarse: Tensor, hid: Tensor) -> Tensor:
        size = (src_bgr.shape[2] // 2, src_bgr.shape[3] // 2)
        x = bilinear(torch.cat([hid, coarse], dim=1), size)
        return torch.cat([x, bilinear(src_bgr, size)], dim=1)


def _crop(x: Tensor, cells: Tensor, size: int, halo: int, shift: tuple[int, int]) -> Tensor:
    """Cut `size` + 2 `halo` squares (zeros beyond the border) at `cells`, N x (batch, row, col),
    `shift` pixels (down, right) beside their place."""
    down, right = shift
    padded = functional.pad(x, (halo - right, halo + right, halo - down, halo + down))
    windows = padded.unfold(2, size + 2 * halo, size).unfold(3, size + 2 * halo, size)
    windows = windows.permute(0, 2, 3, 1, 4, 5)
    return windows[cells[:, 0], cells[:, 1], cells[:, 2]]
