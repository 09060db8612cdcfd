"""How much a channel may enlarge what rounding did before it.

A channel that hardly varies has a deviation near 0, and BatchNorm divides by it: trained without a
bound, some channels enlarged the rounding of their inputs 200-fold, and no two float32 runtimes
agreed to 2e-5 on the outputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn


def gains(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Name of each BatchNorm's weight and, per channel, its gain.

    |weight| * |filter| / deviation: by how much independent errors of the filter's inputs are
    enlarged, the filter's length taken as the root of the sum of squares.
    """
    filters: Tensor | None = None
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            filters = module.weight
        elif isinstance(module, nn.BatchNorm2d):
            assert filters is not None
            assert module.running_var is not None
            deviation = (module.running_var + module.eps).sqrt()
            yield f"{name}.weight", module.weight.abs() * filters.flatten(1).norm(dim=1) / deviation


@torch.no_grad()
def bound_gains(network: nn.Module, most: float) -> None:
    """Lower the weights that learn, channel by channel, until no gain is larger than `most`."""
    if math.isinf(most):
        return
    weights = dict(network.named_parameters())
    for name, gain in gains(network):
        if weights[name].requires_grad:
            weights[name].mul_((most / gain.clamp(min=1e-12)).clamp(max=1.0))
