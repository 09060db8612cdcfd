"""Four steps up from stride 16 to stride 1, each joined with the backbone's shortcut."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from toolchain.network.backbone import Features
from toolchain.network.resize import bilinear

CHANNELS = (256, 128, 64, 48)
SHORTCUTS = (32, 24, 16, 6)


class Decoder(nn.Module):
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
        x = self.relu(self.bn1(self.conv1(_join(x, shortcuts.x8))))
        x = self.relu(self.bn2(self.conv2(_join(x, shortcuts.x4))))
        x = self.relu(self.bn3(self.conv3(_join(x, shortcuts.x2))))
        y: Tensor = self.conv4(_join(x, shortcuts.x1))
        return y


def _join(x: Tensor, shortcut: Tensor) -> Tensor:
    size = (shortcut.shape[2], shortcut.shape[3])
    return torch.cat([bilinear(x, size), shortcut], dim=1)
