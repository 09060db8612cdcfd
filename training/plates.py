"""Faults of clean plates: offset, other exposure, noise, blur, a missing shadow."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from training.randomness import Randomness

# Shares of samples: an exact plate; a small offset; the rest has a large one (hand-held camera).
EXACT, SLIGHT = 0.4, 0.4
SILENT = 0.5  # share of the exact ones whose frame is without noise too


def plate_and_room(
    room: Tensor, alpha: Tensor, random: Randomness, pixel: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The room in the plate and in the frame, and the deviation of frame noise.

    `room` B x 3 x H x W, `alpha` B x 1 x H x W, 0..1; `pixel`: frame pixels per batch pixel.
    """
    count = len(room)
    kind = random.uniform(count)
    faulty, strong = (kind >= EXACT).float(), (kind >= EXACT + SLIGHT).float()
    plate = _moved(room, faulty, strong, random, pixel)
    plate = _exposed(plate, faulty, random)
    plate = _blurred(plate, faulty, random)
    # A pixel of the batch is a mean over several of the frame's, with less noise.
    fine = pixel**-0.5
    silent = (1 - faulty) * (random.uniform(count) < SILENT).float()
    grain = faulty * 0.03 * fine * random.uniform(count)
    plate = plate + grain * random.normal(*plate.shape)
    noise = (1 - silent) * 0.025 * fine * random.uniform(count) ** 2
    shadow = faulty * 0.5 + (1 - faulty) * (1 - silent) * 0.15
    shadow = (random.uniform(count) < shadow).float() * random.uniform(count, 0.05, 0.5)
    return plate, _shadowed(room, alpha, shadow, random, pixel), noise


def _moved(
    room: Tensor, faulty: Tensor, strong: Tensor, random: Randomness, pixel: float
) -> Tensor:
    """Shift by up to 2.5 frame pixels, or by up to 12 and rotate by up to 0.8 degrees."""
    count, (height, width) = len(room), room.shape[2:]
    most = (faulty * 2.5 + strong * 9.5).flatten()[:, None] / pixel
    offset = most * (random.uniform(2 * count, -1, 1)).reshape(count, 2)
    turn = 0.014 * strong.flatten() * random.uniform(count, -1, 1).flatten()
    size = 1 + 0.01 * strong.flatten() * random.uniform(count, -1, 1).flatten()
    theta = torch.zeros(count, 2, 3, device=random.device)
    theta[:, 0, 0] = theta[:, 1, 1] = size
    theta[:, 0, 1], theta[:, 1, 0] = -turn * height / width, turn * width / height
    theta[:, :, 2] = 2 * offset / torch.tensor([width, height], device=random.device)
    grid = functional.affine_grid(theta, list(room.shape), align_corners=False)
    moved = functional.grid_sample(room, grid, padding_mode="border", align_corners=False)
    return torch.where(faulty > 0, moved, room)  # exact means exact


def _exposed(plate: Tensor, faulty: Tensor, random: Randomness) -> Tensor:
    """Change exposure, white balance, gamma, and add a brightness gradient."""
    count = len(plate)
    some = faulty * (random.uniform(count) < 0.8).float()
    gain = 1 + some * (0.05 * random.normal(count, 1, 1, 1) + 0.015 * random.normal(count, 3, 1, 1))
    offset = some * 0.01 * random.normal(count, 3, 1, 1)
    gamma = torch.exp(some * 0.05 * random.normal(count, 1, 1, 1))
    field = functional.interpolate(
        random.normal(count, 1, 2, 3), plate.shape[2:], mode="bilinear", align_corners=True
    )
    uneven = 1 + some * (random.uniform(count) < 0.4).float() * 0.05 * field
    changed = plate.clamp(1e-4, 1) ** gamma * gain * uneven + offset
    return torch.where(some > 0, changed, plate)


def _blurred(plate: Tensor, faulty: Tensor, random: Randomness) -> Tensor:
    """Blur some plates."""
    share = faulty * (random.uniform(len(plate)) < 0.3).float() * random.uniform(len(plate))
    soft = functional.avg_pool2d(functional.pad(plate, (1, 1, 1, 1), "replicate"), 3, 1)
    return plate + share * (soft - plate)


def _shadowed(
    room: Tensor, alpha: Tensor, strength: Tensor, random: Randomness, pixel: float
) -> Tensor:
    """Add the figure's soft shadow to the room, in the frame only."""
    count, (height, width) = len(room), room.shape[2:]
    shrink = max(1, round(8 / pixel))  # soft, so computed at low resolution
    radius = max(1, round(float(random.uniform(1, 12, 50)) / pixel / shrink))
    soft = functional.avg_pool2d(alpha, shrink, ceil_mode=True)
    for _ in range(2):  # two box filters approximate a Gaussian
        padded = functional.pad(soft, (radius,) * 4, "replicate")
        soft = functional.avg_pool2d(padded, 2 * radius + 1, 1)
    soft = functional.interpolate(soft, (height, width), mode="bilinear", align_corners=False)
    theta = torch.eye(2, 3, device=random.device).repeat(count, 1, 1)
    reach = torch.tensor([120.0 / pixel / width, 90.0 / pixel / height], device=random.device)
    theta[:, :, 2] = 2 * reach * random.uniform(2 * count, -1, 1).reshape(count, 2)
    grid = functional.affine_grid(theta, list(soft.shape), align_corners=False)
    cast = functional.grid_sample(soft, grid, padding_mode="border", align_corners=False)
    return room * (1 - strength * cast)
