"""Batches of composites with their truth: new views, colours and faults of the plate each time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from training.pool import Pool

EXACT = 0.35  # share of samples whose plate shows the very room of the frame


@dataclass(frozen=True)
class Batch:
    """B x 3 x H x W `src`, `bgr`, `foreground` and B x 1 x H x W `alpha`, float32, 0..1, RGB."""

    src: Tensor
    bgr: Tensor
    alpha: Tensor
    foreground: Tensor


def draw(pool: Pool, seed: int, step: int, count: int, size: tuple[int, int], zoom: float) -> Batch:
    """The batch of `step`; `size`: (height, width); `zoom`: pool pixels per batch pixel, mean."""
    random = torch.Generator().manual_seed(seed * 1_000_003 + step)
    picked = torch.randint(len(pool.figures), (count,), generator=random)
    figures = _view(pool.figures[picked].float() / 255, size, 1.2 * zoom, random, wander=0.45)
    picked = torch.randint(len(pool.rooms), (count,), generator=random)
    room = _tinted(_view(pool.rooms[picked].float() / 255, size, zoom, random), random)
    foreground, alpha = _tinted(figures[:, :3], random), figures[:, 3:]
    # Some figures take the room's colours, so that difference alone can't find them.
    alike = (_uniform(random, count) < 0.15).float()
    foreground = foreground + alike * (
        room.mean((2, 3), keepdim=True) - foreground.mean((2, 3), keepdim=True)
    )
    foreground = foreground.clamp(0, 1)
    behind, plate = _taken_apart(room, alpha, random)
    src = alpha * foreground + (1 - alpha) * behind
    noise = 0.01 * _uniform(random, count)
    src = src + noise * torch.randn(src.shape, generator=random)
    return Batch(src.clamp(0, 1), plate.clamp(0, 1), alpha, foreground)


def _uniform(random: torch.Generator, count: int, low: float = 0, high: float = 1) -> Tensor:
    return low + (high - low) * torch.rand(count, 1, 1, 1, generator=random)


def _view(
    pictures: Tensor,
    size: tuple[int, int],
    zoom: float,
    random: torch.Generator,
    wander: float = 1.0,
) -> Tensor:
    """Each picture seen turned, scaled, mirrored and moved; what lies outside repeats mirrored.

    `wander`: how far from the middle, as a share of what there is.
    """
    count, (height, width) = len(pictures), size
    angle = _uniform(random, count, -0.35, 0.35).flatten()
    scale = zoom * torch.exp(_uniform(random, count, -0.5, 0.5)).flatten()
    mirror = torch.sign(_uniform(random, count, -1, 1)).flatten()
    high, wide = pictures.shape[2:]
    across, down = scale * width / wide, scale * height / high
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = mirror * across * angle.cos()
    theta[:, 0, 1] = -across * angle.sin() * height / width
    theta[:, 1, 0] = mirror * down * angle.sin() * width / height
    theta[:, 1, 1] = down * angle.cos()
    room_x, room_y = (1 - across).clamp(min=0.2), (1 - down).clamp(min=0.2)
    theta[:, 0, 2] = wander * room_x * _uniform(random, count, -1, 1).flatten()
    theta[:, 1, 2] = wander * room_y * _uniform(random, count, -1, 1).flatten()
    blur = max(1, math.floor(zoom))
    if blur > 1:  # so that shrinking does not alias
        pictures = functional.avg_pool2d(pictures, blur)
    grid = functional.affine_grid(theta, [count, 1, height, width], align_corners=False)
    return functional.grid_sample(
        pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )


def _tinted(pictures: Tensor, random: torch.Generator) -> Tensor:
    count = len(pictures)
    gain = 1 + 0.3 * torch.randn(count, 3, 1, 1, generator=random)
    shift = 0.12 * torch.randn(count, 3, 1, 1, generator=random)
    gamma = torch.exp(0.3 * torch.randn(count, 1, 1, 1, generator=random))
    return (pictures.clamp(1e-3, 1) ** gamma * gain + shift).clamp(0, 1)


def _taken_apart(room: Tensor, alpha: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """The room as the frame and as the plate show it: moved, lit and shadowed differently."""
    count = len(room)
    faulty = (_uniform(random, count) >= EXACT).float()
    shift = faulty.flatten() * _uniform(random, count, 0, 1).flatten()
    theta = torch.eye(2, 3).repeat(count, 1, 1)
    pixels = 2 * torch.randn(count, 2, generator=random).clamp(-2, 2) * shift[:, None]
    theta[:, :, 2] = pixels / torch.tensor([room.shape[3], room.shape[2]]) * 1.5
    turned = 0.01 * torch.randn(count, generator=random) * shift
    theta[:, 0, 1], theta[:, 1, 0] = -turned, turned
    grid = functional.affine_grid(theta, list(room.shape), align_corners=False)
    plate = functional.grid_sample(room, grid, padding_mode="border", align_corners=False)
    gain = 1 + faulty * 0.06 * torch.randn(count, 1, 1, 1, generator=random)
    plate = plate * gain + faulty * 0.02 * torch.randn(count, 3, 1, 1, generator=random)
    strength = faulty * 0.015 * _uniform(random, count)
    plate = plate + strength * torch.randn(plate.shape, generator=random)
    shadowed = faulty * (_uniform(random, count) < 0.5) * _uniform(random, count, 0.1, 0.5)
    soft = functional.avg_pool2d(alpha, 15, 1, 7)
    moved = functional.pad(soft, (7, -7, 4, -4))  # to the right and down; nothing comes round
    return room * (1 - shadowed * moved), plate
