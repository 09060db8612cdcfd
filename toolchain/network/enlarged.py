"""A 3x3 convolution of a picture enlarged to twice its size, computed at the smaller size.

A bilinear enlargement and a convolution after it are both linear: together they are one 3x3
convolution of the small picture for each of the four phases of the large one.  That spares making
and reading the enlarged picture, and four times as many output channels fill vectors better.

At the border the two differ: the convolution sees zeros beyond the enlarged picture, while phases
see how zeros beyond the small one are enlarged.  Along each axis, the line that is meant is the
one that phases see, plus a quarter of the edge pixel at the outermost place within, minus as much
at the first place beyond.  What that gives, convolved, is added to the four lines along each side.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolchain.network.fixed import convolution
from toolchain.network.resize import bilinear

MARGIN = 2  # lines of results beyond the enlarged picture, on each side
LINES = 2 * MARGIN  # lines of results along each side that the border reaches
# Places 2i - 1 to 2i + 2 of the enlarged line, from the pixels i - 1, i, i + 1.
BETWEEN = torch.tensor(
    [[0.75, 0.25, 0.0], [0.25, 0.75, 0.0], [0.0, 0.75, 0.25], [0.0, 0.25, 0.75]],
    dtype=torch.float64,
)
# By side (first, last), line of results, tap: what an edge pixel adds.
FIRST = torch.tensor([[0.0, 0, -1], [0, -1, 1], [-1, 1, 0], [1, 0, 0]]) / 4
BORDER = torch.stack([FIRST, FIRST.flip(0, 1)])


class EnlargedConvolution(nn.Module):
    """1 x I x `height` x `width` -> 1 x O x (2 `height` + 4) x (2 `width` + 4).

    The picture enlarged bilinearly, with three zeros beyond each side, convolved with `weight`,
    O x I x 3 x 3.
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
        self.even, self.odd = (_phases(exact, phase) for phase in range(2))
        # Each tap across the border by itself, tap by tap in the channels.
        self.ends = convolution(torch.cat(exact.chunk(3, dim=2)), padding=(0, MARGIN + 1))
        self.sides = convolution(torch.cat(exact.chunk(3, dim=3)), padding=(1, 0))
        self.register_buffer("border", BORDER)
        self.register_buffer("first_last_row", torch.tensor([0, height - 1]))
        self.register_buffer("first_last_column", torch.tensor([0, width - 1]))
        # Results lie in pairs of columns, `width` + 2 in a row.
        pairs = torch.arange(width + MARGIN)
        rows = torch.arange(2 * (height + MARGIN))
        ends = torch.cat([rows[:LINES], rows[-LINES:]]).reshape(-1, 1) * len(pairs) + pairs
        sides = rows.reshape(-1, 1) * len(pairs) + torch.cat([pairs[:MARGIN], pairs[-MARGIN:]])
        self.register_buffer("at_ends", ends.reshape(-1))
        self.register_buffer("at_sides", sides.reshape(-1))

    def forward(self, x: Tensor) -> Tensor:
        height, width = self.size
        rows = [
            phase(x).permute(0, 2, 3, 1).reshape(height + MARGIN, 1, -1)
            for phase in (self.even, self.odd)
        ]
        pairs = torch.cat(rows, 1).reshape(-1, 2 * self.features)
        pairs = _added(pairs, self.at_ends, self._along_ends(x))
        pairs = _added(pairs, self.at_sides, self._along_sides(x))
        shape = (1, 2 * (height + MARGIN), 2 * (width + MARGIN), self.features)
        return pairs.reshape(shape).permute(0, 3, 1, 2)

    def _along_ends(self, x: Tensor) -> Tensor:
        """What the first and the last row add: lines x pairs of columns, features of a pair."""
        _, width = self.size
        ends = bilinear(x.index_select(2, self.first_last_row), (2, 2 * width))
        taps: Tensor = self.ends(ends)
        taps = taps.reshape(3, self.features, 2, -1).permute(2, 0, 1, 3).reshape(2, 3, -1)
        lines = torch.matmul(self.border, taps)
        lines = lines.reshape(2 * LINES, self.features, width + MARGIN, 2)
        return lines.permute(0, 2, 3, 1).reshape(-1, 2 * self.features)

    def _along_sides(self, x: Tensor) -> Tensor:
        """What the first and the last column add: rows x pairs of columns, features of a pair."""
        height, _ = self.size
        rows = 2 * (height + MARGIN)
        sides = functional.pad(x.index_select(3, self.first_last_column), (0, 0, 1, 1))
        taps: Tensor = self.sides(bilinear(sides, (rows, 2)))
        taps = taps.reshape(3, -1, 2).permute(2, 0, 1)
        lines = torch.matmul(self.border, taps)
        lines = lines.reshape(LINES, 2 * self.features, rows)
        return lines.permute(2, 0, 1).reshape(-1, 2 * self.features)


def _added(pairs: Tensor, at: Tensor, more: Tensor) -> Tensor:
    return pairs.index_copy(0, at, pairs.index_select(0, at) + more)


def _phases(weight: Tensor, phase: int) -> nn.Conv2d:
    """Every second row of results, beginning with `phase`; channels are (column phase, feature)."""
    down = BETWEEN[phase : phase + 3]
    columns = [
        torch.einsum("oitu,tr,uc->oirc", weight, down, BETWEEN[column : column + 3])
        for column in range(2)
    ]
    return convolution(torch.cat(columns), padding=MARGIN)
