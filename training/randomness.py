"""Random numbers of one training step: the same for the same seed and step."""

from __future__ import annotations

import torch
from torch import Tensor


class Randomness:
    """Draws on `device`; on the same kind of device the same numbers for the same arguments."""

    def __init__(self, seed: int, step: int, device: str) -> None:
        self.device = device
        self._generator = torch.Generator(device).manual_seed(seed * 1_000_003 + step)

    def uniform(self, count: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """`count` x 1 x 1 x 1 between `low` and `high`."""
        drawn = torch.rand(count, 1, 1, 1, generator=self._generator, device=self.device)
        return low + (high - low) * drawn

    def normal(self, *shape: int) -> Tensor:
        """Mean 0, deviation 1."""
        return torch.randn(shape, generator=self._generator, device=self.device)

    def integers(self, below: int, count: int) -> Tensor:
        """`count` whole numbers from 0 to `below` - 1."""
        return torch.randint(below, (count,), generator=self._generator, device=self.device)
