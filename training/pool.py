"""Figures and rooms, generated once and drawn from for every batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from toolchain.frames.figures import figure
from toolchain.frames.scenes import scene
from toolchain.progress import Listener


@dataclass(frozen=True)
class Pool:
    """`figures`: N x 4 x H x W uint8 (foreground RGB, alpha).  `rooms`: M x 3 x H x W uint8."""

    figures: Tensor
    rooms: Tensor


def make_pool(
    seed: int, figures: int, rooms: int, size: tuple[int, int], listener: Listener
) -> Pool:
    """Generate a pool of pictures of `size` (width, height); the same for the same seed."""
    width, height = size
    drawn, built = [], []
    with listener.task(f"drawing at {width}x{height}", figures + rooms, "pictures") as task:
        for index in range(figures):
            alpha, colour = figure(np.random.default_rng((seed, 1, index)), width, height)
            drawn.append(_bytes(np.concatenate([colour, alpha[..., None]], 2)))
            task.reach(index + 1)
        for index in range(rooms):
            built.append(_bytes(scene(np.random.default_rng((seed, 2, index)), width, height)))
            task.reach(figures + index + 1)
    return Pool(torch.stack(drawn), torch.stack(built))


def _bytes(picture: np.ndarray) -> Tensor:
    pixels = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
