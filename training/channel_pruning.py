"""Removal of channels of small variance, so that float32 runtimes agree.

BatchNorm divides such a channel by a deviation near 0, which amplifies rounding by up to 300;
outputs of two runtimes then differ by more than 2e-5.
"""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def zero_channels(network: nn.Module, least: float) -> None:
    """Set the weight of each BatchNorm channel to 0 whose variance is below `least`.

    Its shift stays: the constant output of such a channel.  Applies to the trained parts only.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.weight.requires_grad:
            assert module.running_var is not None
            module.weight[module.running_var < least] = 0.0
