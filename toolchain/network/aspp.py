"""Atrous spatial pyramid pooling as in DeepLabV3 (arXiv 1706.05587), rates 3, 6, 9."""

from __future__ import annotations

import torch
from torch import Tensor, nn

RATES = (3, 6, 9)


class PooledBranch(nn.Sequential):
    """Image-level branch: mean over the map, 1x1 convolution, expanded to the map's size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Pool and expand: B x `inputs` x h x w -> B x `outputs` x h x w."""
        pooled = x
        for layer in self:
            pooled = layer(pooled)
        # The published code resizes a 1x1 map bilinearly, which copies its one value.
        return pooled.expand(-1, -1, x.shape[2], x.shape[3])


class ASPP(nn.Module):
    """Five branches, concatenated and projected.

    Args:
        inputs: Channels of the backbone's output.
        outputs: Channels of each branch and of the result.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()

        def branch(kernel: int, rate: int) -> nn.Sequential:
            padding = rate * (kernel // 2)
            return nn.Sequential(
                nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=rate, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            )

        self.convs = nn.ModuleList(
            [branch(1, 1), *(branch(3, rate) for rate in RATES), PooledBranch(inputs, outputs)]
        )
        self.project = nn.Sequential(
            nn.Conv2d(len(self.convs) * outputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply: B x `inputs` x h x w -> B x `outputs` x h x w, float32."""
        y: Tensor = self.project(torch.cat([branch(x) for branch in self.convs], dim=1))
        return y
