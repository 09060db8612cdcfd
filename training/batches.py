"""Batches of augmented composites with ground truth: views, colours, faults of the plate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from training.plates import plate_and_room
from training.pool import Pool
from training.randomness import Randomness

ALIKE = 0.15  # share of figures in the room's colours, which a difference key cannot find
PAIRED = 0.1  # share of samples with a second figure behind the first
WITHIN = 0.75  # share of figures that are entirely inside their image
EMPTY = 0.03  # share of samples without a figure


@dataclass(frozen=True)
class Batch:
    """B x 3 x H x W `src`, `bgr`, `foreground` and B x 1 x H x W `alpha`, float32, 0..1, RGB."""

    src: Tensor
    bgr: Tensor
    alpha: Tensor
    foreground: Tensor


def draw(
    pool: Pool, random: Randomness, count: int, size: tuple[int, int], zoom: float, pixel: float
) -> Batch:
    """A batch; `size`: (height, width); `zoom`: pool pixels per batch pixel, on average;
    `pixel`: how many pixels of the frame one of the batch's pixels spans (4 for the backbone).
    """
    foreground, alpha = _figures(pool, random, count, size, zoom)
    room = tinted(_view(_picked(pool.rooms, random, count), size, zoom, random), random)
    alike = (random.uniform(count) < ALIKE).float()
    offset = room.mean((2, 3), keepdim=True) - foreground.mean((2, 3), keepdim=True)
    foreground = (foreground + alike * offset).clamp(0, 1)
    alpha = alpha * (random.uniform(count) >= EMPTY).float()
    plate, behind, noise = plate_and_room(room, alpha, random, pixel)
    src = alpha * foreground + (1 - alpha) * behind
    src = src + noise * random.normal(*src.shape)
    return Batch(in_bytes(src), in_bytes(plate), alpha, foreground)


def in_bytes(picture: Tensor) -> Tensor:
    """Quantize 0..1 to 8 bits."""
    return (picture.clamp(0, 1) * 255).round() / 255


def tinted(pictures: Tensor, random: Randomness) -> Tensor:
    """Change colours, contrast and brightness of each image."""
    count = len(pictures)
    strength = random.uniform(count)  # from unchanged to entirely different
    gain = 1 + 0.4 * strength * random.normal(count, 3, 1, 1)
    shift = 0.15 * strength * random.normal(count, 3, 1, 1)
    gamma = torch.exp(0.3 * random.normal(count, 1, 1, 1))
    return (pictures.clamp(1e-3, 1) ** gamma * gain + shift).clamp(0, 1)


def _figures(
    pool: Pool, random: Randomness, count: int, size: tuple[int, int], zoom: float
) -> tuple[Tensor, Tensor]:
    """Foreground and alpha; some samples have a second figure behind the first."""
    front = _view(_picked(pool.figures, random, count), size, 1.1 * zoom, random, figure=True)
    foreground, alpha = tinted(front[:, :3], random), front[:, 3:]
    back = _view(_picked(pool.figures, random, count), size, 1.1 * zoom, random, figure=True)
    paired = (random.uniform(count) < PAIRED).float()
    behind = paired * back[:, 3:]
    together = alpha + (1 - alpha) * behind
    # Colour is defined everywhere, so it changes over where the front figure covers little.
    share = torch.where(behind > 0, alpha / together.clamp(min=1e-4), torch.ones_like(alpha))
    return share * foreground + (1 - share) * tinted(back[:, :3], random), together


def _picked(pictures: Tensor, random: Randomness, count: int) -> Tensor:
    chosen = random.integers(len(pictures), count)
    return pictures[chosen.to(pictures.device)].to(random.device).float() / 255


def _view(
    pictures: Tensor,
    size: tuple[int, int],
    zoom: float,
    random: Randomness,
    *,
    figure: bool = False,
) -> Tensor:
    """Rotate, scale, mirror and move each image; outside of it, it repeats mirrored.

    Most figures are kept inside their image, so that their outline is not cut by the mirroring;
    they are also slightly deformed.
    """
    count, (height, width) = len(pictures), size
    angle = random.uniform(count, -0.3, 0.3).flatten() * (random.uniform(count).flatten() < 0.7)
    scale = zoom * torch.exp(random.uniform(count, -0.5, 0.5)).flatten()
    mirror = torch.sign(random.uniform(count, -1, 1)).flatten()
    high, wide = pictures.shape[2:]
    if figure:
        within = (random.uniform(count).flatten() < WITHIN).float()
        whole = torch.full_like(scale, min(wide / width, high / height))
        scale = torch.lerp(scale, torch.minimum(scale, whole), within)
    across, down = scale * width / wide, scale * height / high
    theta = torch.zeros(count, 2, 3, device=random.device)
    theta[:, 0, 0] = mirror * across * angle.cos()
    theta[:, 0, 1] = -across * angle.sin() * height / width
    theta[:, 1, 0] = mirror * down * angle.sin() * width / height
    theta[:, 1, 1] = down * angle.cos()
    least = 0.0 if figure else 0.2
    room_x, room_y = (1 - across).clamp(min=least), (1 - down).clamp(min=least)
    theta[:, 0, 2] = room_x * random.uniform(count, -1, 1).flatten()
    theta[:, 1, 2] = room_y * random.uniform(count, -1, 1).flatten()
    blur = max(1, math.floor(zoom))
    if blur > 1:  # against aliasing
        pictures = functional.avg_pool2d(pictures, blur)
    grid = functional.affine_grid(theta, [count, 1, height, width], align_corners=False)
    if figure:
        coarse = 0.04 * random.uniform(count) * random.normal(count, 2, 4, 6)
        bend = functional.interpolate(coarse, (height, width), mode="bicubic")
        grid = grid + bend.permute(0, 2, 3, 1)
    return functional.grid_sample(
        pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
