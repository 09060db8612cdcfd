"""Decoder: four steps from stride 16 to stride 1, each joined with a shortcut of the backbone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from toolchain.definitions.architecture import Architecture
from toolchain.network.backbones.features import Features
from toolchain.network.convolution import make_convolution
from toolchain.network.resize import bilinear


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
    """Four convolutions; BatchNorm and ReLU follow the first three.

    Args:
        architecture: Gives the channels of the ASPP's output, the shortcuts and the steps.
        outputs: Channels of the result.
    """

    def __init__(self, architecture: Architecture, outputs: int) -> None:
        super().__init__()
        widths = architecture.decoder_channels
        given = (architecture.aspp_channels, *widths)
        joined = [x + y for x, y in zip(given, architecture.shortcut_channels, strict=True)]
        self.conv1 = nn.Conv2d(joined[0], widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.conv2 = nn.Conv2d(joined[1], widths[1], 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(widths[1])
        self.conv3 = nn.Conv2d(joined[2], widths[2], 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(widths[2])
        self.conv4 = nn.Conv2d(joined[3], outputs, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor, shortcuts: Features) -> Tensor:
        """Decode.

        Args:
            x: Output of ASPP, B x C x H/16 x W/16.
            shortcuts: Features of the backbone.

        Returns:
            B x `outputs` x H x W, not clamped.
        """
        y: Tensor = self.conv4(self._before_last(x, shortcuts))
        return y


class SplitDecoder(_Steps):
    """The layers of a decoder, with the last convolution split into two.

    Where a graph splits the output of one convolution instead, runtimes copy it and change its
    layout.

    Args:
        decoder: The decoder.
        first: Number of outputs of the first of the two convolutions.
    """

    def __init__(self, decoder: Decoder, first: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = decoder.conv1, decoder.bn1
        self.conv2, self.bn2 = decoder.conv2, decoder.bn2
        self.conv3, self.bn3 = decoder.conv3, decoder.bn3
        self.relu = decoder.relu
        self.conv4 = nn.ModuleDict(
            {
                "first": _select_outputs(decoder.conv4, slice(first)),
                "others": _select_outputs(decoder.conv4, slice(first, None)),
            }
        )

    def forward(self, x: Tensor, shortcuts: Features) -> tuple[Tensor, Tensor]:
        """Decode, see `Decoder.forward`; return the first outputs and the others."""
        joined = self._before_last(x, shortcuts)
        return self.conv4["first"](joined), self.conv4["others"](joined)


def _join(x: Tensor, shortcut: Tensor) -> Tensor:
    size = (shortcut.shape[2], shortcut.shape[3])
    return torch.cat([bilinear(x, size), shortcut], dim=1)


def _select_outputs(conv: nn.Conv2d, outputs: slice) -> nn.Conv2d:
    assert conv.bias is not None
    return make_convolution(conv.weight[outputs], conv.bias[outputs], padding=1)
