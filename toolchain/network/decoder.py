"""Four steps up from stride 16 to stride 1, each joined with the backbone's shortcut."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from toolchain.network.backbone import Features
from toolchain.network.fixed import convolution
from toolchain.network.resize import bilinear

CHANNELS = (256, 128, 64, 48)
SHORTCUTS = (32, 24, 16, 6)


class _Steps(nn.Module):
    """All but the last convolution."""

    conv1: nn.Module
    bn1: nn.Module
    conv2: nn.Module
    bn2: nn.Module
    conv3: nn.Module
    bn3: nn.Module
    relu: nn.Module

    def _before_last(self, x: Tensor, shortcuts: Features) -> Tensor:
        x = self.relu(self.bn1(self.conv1(_join(x, shortcuts.x8))))
        x = self.relu(self.bn2(self.conv2(_join(x, shortcuts.x4))))
        x = self.relu(self.bn3(self.conv3(_join(x, shortcuts.x2))))
        return _join(x, shortcuts.x1)


class Decoder(_Steps):
    """ASPP output and shortcuts -> B x `outputs` x H x W, nothing after the last convolution."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        widths = (*CHANNELS, outputs)
        ins = [channels + extra for channels, extra in zip(CHANNELS, SHORTCUTS, strict=True)]
        self.conv1 = nn.Conv2d(ins[0], widths[1], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[1])
        self.conv2 = nn.Conv2d(ins[1], widths[2], 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(widths[2])
        self.conv3 = nn.Conv2d(ins[2], widths[3], 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(widths[3])
        self.conv4 = nn.Conv2d(ins[3], widths[4], 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor, shortcuts: Features) -> Tensor:
        y: Tensor = self.conv4(self._before_last(x, shortcuts))
        return y


class PartedDecoder(_Steps):
    """`decoder`'s layers, the last one as two: its first `first` outputs and the others.

    Where a graph parts what one convolution gave, runtimes copy it, and change its layout.
    """

    def __init__(self, decoder: Decoder, first: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = decoder.conv1, decoder.bn1
        self.conv2, self.bn2 = decoder.conv2, decoder.bn2
        self.conv3, self.bn3 = decoder.conv3, decoder.bn3
        self.relu = decoder.relu
        self.conv4 = nn.ModuleDict(
            {
                "first": _some(decoder.conv4, slice(first)),
                "others": _some(decoder.conv4, slice(first, None)),
            }
        )

    def forward(self, x: Tensor, shortcuts: Features) -> tuple[Tensor, Tensor]:
        """The first outputs and the others, nothing after the convolutions."""
        joined = self._before_last(x, shortcuts)
        return self.conv4["first"](joined), self.conv4["others"](joined)


def _join(x: Tensor, shortcut: Tensor) -> Tensor:
    size = (shortcut.shape[2], shortcut.shape[3])
    return torch.cat([bilinear(x, size), shortcut], dim=1)


def _some(whole: nn.Conv2d, outputs: slice) -> nn.Conv2d:
    """The convolution that gives only these `outputs` of `whole`."""
    assert whole.bias is not None
    return convolution(whole.weight[outputs], whole.bias[outputs], padding=1)
