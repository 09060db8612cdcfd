"""Bilinear upsampling by 2 and a 3x3 convolution, computed together at the smaller size.

Both are linear: together they are one 3x3 convolution of the small image for each of the four
phases of the large one.  The large image is never written or read, and four times as many output
channels fill vectors better.

At the border the two differ: the convolution sees zeros beyond the large image, while the phases
see the upsampled zeros beyond the small one.  Along each axis, the correct line is the one that
the phases see, plus a quarter of the edge pixel at the outermost place inside, minus as much at
the first place outside.  This difference, convolved, is added to the four lines along each side.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolchain.network.convolution import make_convolution
from toolchain.network.resize import bilinear

MARGIN = 2  # lines of results beyond the large image, on each side
LINES = 2 * MARGIN  # lines of results along each side that the border affects
# Places 2i - 1 to 2i + 2 of the upsampled line, from the pixels i - 1, i, i + 1.
INTERPOLATION = torch.tensor(
    [[0.75, 0.25, 0.0], [0.25, 0.75, 0.0], [0.0, 0.75, 0.25], [0.0, 0.25, 0.75]],
    dtype=torch.float64,
)
# Factors of the edge pixel to add, by side (first, last), line of results, tap.
FIRST = torch.tensor([[0.0, 0, -1], [0, -1, 1], [-1, 1, 0], [1, 0, 0]]) / 4
BORDER = torch.stack([FIRST, FIRST.flip(0, 1)])


class UpsamplingConvolution(nn.Module):
    """Upsample an image by 2, pad it with three zeros on each side, and convolve it.

    Args:
        weight: Weights of the convolution, O x I x 3 x 3.
        height: Height of the image.
        width: Width of the image.
    """

    border: Tensor
    first_last_row: Tensor
    first_last_column: Tensor
    at_ends: Tensor
    at_sides: Tensor

    def __init__(self, weight: Tensor, height: int, width: int) -> None:
        super().__init__()
        self.size = (height, width)
        self.features = len(weight)
        exact = weight.double()
        self.even, self.odd = (_make_phases(exact, phase) for phase in range(2))
        # Each tap across the border separately, ordered by tap in the channels.
        self.ends = make_convolution(torch.cat(exact.chunk(3, dim=2)), padding=(0, MARGIN + 1))
        self.sides = make_convolution(torch.cat(exact.chunk(3, dim=3)), padding=(1, 0))
        self.register_buffer("border", BORDER)
        self.register_buffer("first_last_row", torch.tensor([0, height - 1]))
        self.register_buffer("first_last_column", torch.tensor([0, width - 1]))
        # Results are stored in pairs of columns, `width` + 2 pairs in a row.
        pairs = torch.arange(width + MARGIN)
        rows = torch.arange(2 * (height + MARGIN))
        ends = torch.cat([rows[:LINES], rows[-LINES:]]).reshape(-1, 1) * len(pairs) + pairs
        sides = rows.reshape(-1, 1) * len(pairs) + torch.cat([pairs[:MARGIN], pairs[-MARGIN:]])
        self.register_buffer("at_ends", ends.reshape(-1))
        self.register_buffer("at_sides", sides.reshape(-1))

    def forward(self, x: Tensor) -> Tensor:
        """Compute: 1 x I x `height` x `width` -> 1 x O x (2 `height` + 4) x (2 `width` + 4)."""
        height, width = self.size
        rows = [
            phase(x).permute(0, 2, 3, 1).reshape(height + MARGIN, 1, -1)
            for phase in (self.even, self.odd)
        ]
        pairs = torch.cat(rows, 1).reshape(-1, 2 * self.features)
        pairs = _add_at(pairs, self.at_ends, self._convolve_ends(x))
        pairs = _add_at(pairs, self.at_sides, self._convolve_sides(x))
        shape = (1, 2 * (height + MARGIN), 2 * (width + MARGIN), self.features)
        return pairs.reshape(shape).permute(0, 3, 1, 2)

    def _convolve_ends(self, x: Tensor) -> Tensor:
        """Corrections of the first and last rows: (lines, pairs of columns) x features."""
        _, width = self.size
        ends = bilinear(x.index_select(2, self.first_last_row), (2, 2 * width))
        taps: Tensor = self.ends(ends)
        taps = taps.reshape(3, self.features, 2, -1).permute(2, 0, 1, 3).reshape(2, 3, -1)
        lines = torch.matmul(self.border, taps)
        lines = lines.reshape(2 * LINES, self.features, width + MARGIN, 2)
        return lines.permute(0, 2, 3, 1).reshape(-1, 2 * self.features)

    def _convolve_sides(self, x: Tensor) -> Tensor:
        """Corrections of the first and last columns: (rows, pairs of columns) x features."""
        height, _ = self.size
        rows = 2 * (height + MARGIN)
        sides = functional.pad(x.index_select(3, self.first_last_column), (0, 0, 1, 1))
        taps: Tensor = self.sides(bilinear(sides, (rows, 2)))
        taps = taps.reshape(3, -1, 2).permute(2, 0, 1)
        lines = torch.matmul(self.border, taps)
        lines = lines.reshape(LINES, 2 * self.features, rows)
        return lines.permute(2, 0, 1).reshape(-1, 2 * self.features)


def _add_at(pairs: Tensor, at: Tensor, more: Tensor) -> Tensor:
    return pairs.index_copy(0, at, pairs.index_select(0, at) + more)


def _make_phases(weight: Tensor, phase: int) -> nn.Conv2d:
    """Every second row of results, from row `phase`; channels are (column phase, feature)."""
    down = INTERPOLATION[phase : phase + 3]
    columns = [
        torch.einsum("oitu,tr,uc->oirc", weight, down, INTERPOLATION[column : column + 3])
        for column in range(2)
    ]
    return make_convolution(torch.cat(columns), padding=MARGIN)
