"""The loss of one step, by what is trained: the base network, the refiner, or both at full size."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from toolchain.definitions.ports import CELL
from toolchain.network.matting import BaseOutputs, MattingNetwork
from toolchain.network.refiner import Selection
from toolchain.network.resize import bilinear
from training.batches import Batch
from training.losses import (
    alpha_loss,
    forecast_loss,
    foreground_loss,
    leaky_clamp,
    steepness_loss,
)
from training.patches import chosen, refined
from training.randomness import Randomness
from training.stream import Frames

DOWNSAMPLED = 4  # frame pixels per backbone pixel
NOISE = 0.05  # of a channel's deviation, on the inputs of the refiner from the base network
PATCHES = 1250  # patches per frame and step, of up to 5,000 refined ones
REFINED = 0.5  # weight of the refiner's loss relative to the base network's
Planes = tuple[Tensor, Tensor, Tensor, Tensor]


def base_loss(network: MattingNetwork, batch: Batch, least_forecast: float) -> Tensor:
    """Loss of the base network on a batch of its input size."""
    alpha, residual, err, _ = _decoded(network, torch.cat([batch.src, batch.bgr], 1))
    clamped, foreground = leaky_clamp(alpha), leaky_clamp(residual + batch.src)
    wrong = (clamped.detach() - batch.alpha).abs()
    return (
        alpha_loss(clamped, batch.alpha)
        + foreground_loss(foreground, batch.foreground, batch.alpha)
        + forecast_loss(leaky_clamp(err), wrong, least_forecast)
    )


def refiner_loss(network: MattingNetwork, batch: Batch, random: Randomness) -> Tensor:
    """Loss of the refiner on whole frames, with a frozen base network."""
    height, width = batch.src.shape[2:]
    both = torch.cat([batch.src, batch.bgr], 1)
    small = (height // DOWNSAMPLED, width // DOWNSAMPLED)
    with torch.no_grad(), torch.autocast(both.device.type, torch.bfloat16):
        small_both = bilinear(both, small).contiguous(memory_format=torch.channels_last)
        base = BaseOutputs(*(part.float() for part in network.base(small_both)))
    ref = Selection().choose(base.err)
    coarse = torch.cat([base.pha, base.fgr], 1)
    # Without noise it learns to amplify the hidden features, and rounding with them.
    spread = NOISE * base.hid.std((0, 2, 3), keepdim=True)
    hidden = base.hid + spread * random.normal(*base.hid.shape)
    out = network.refiner(both, coarse, hidden, ref)
    # Only refined patches have a gradient; others would only dilute the mean.
    weight = ref.numel() / ref.sum().clamp(min=1)
    alpha, foreground = leaky_clamp(out[:, :1]), leaky_clamp(out[:, 1:] + batch.src)
    return weight * (
        alpha_loss(alpha, batch.alpha) + foreground_loss(foreground, batch.foreground, batch.alpha)
    )


def whole_loss(
    network: MattingNetwork, frames: Frames, random: Randomness, least_forecast: float
) -> Tensor:
    """Loss of both on whole frames, downsampled as in use: by the middle 2 x 2 of 4 x 4 pixels.

    The expected error is compared with the error at full size.
    """
    both, true_foreground = _middle(frames.both), _middle(frames.foreground)
    true_alpha = frames.alpha.float() * (1 / 255)
    small_alpha = functional.avg_pool2d(true_alpha, DOWNSAMPLED)
    pha, residual, err, hidden = _decoded(network, both)
    alpha, foreground = leaky_clamp(pha), leaky_clamp(residual + both[:, :3])
    with torch.no_grad():
        size = (true_alpha.shape[2], true_alpha.shape[3])
        wrong = (bilinear(pha.clamp(0, 1), size) - true_alpha).abs()
        wrong = functional.avg_pool2d(wrong, CELL)
        ref = Selection().choose(err.clamp(0, 1))
        spread = NOISE * hidden[:, :, ::4, ::4].std((0, 2, 3), keepdim=True)
        noise = spread * random.normal(1, *hidden.shape[1:])
    loss = (
        alpha_loss(alpha, small_alpha)
        + foreground_loss(foreground, true_foreground, small_alpha)
        + forecast_loss(leaky_clamp(err), wrong, least_forecast)
    )
    order = random.uniform(ref.numel()).reshape(ref[:, 0].shape)
    cells = chosen(ref, PATCHES * len(both), order)
    if not len(cells):
        return loss
    coarse = torch.cat([hidden + noise, pha.clamp(0, 1), residual], 1)
    patches = refined(network.refiner, frames, coarse, cells)
    alpha, foreground = leaky_clamp(patches.alpha), leaky_clamp(patches.foreground)
    return loss + REFINED * (
        functional.l1_loss(alpha, patches.true_alpha)
        + steepness_loss(alpha, patches.true_alpha)
        + foreground_loss(foreground, patches.true_foreground, patches.true_alpha[:, None])
    )


def _decoded(network: MattingNetwork, both: Tensor) -> Planes:
    """Alpha, foreground residual and expected error, not clamped, and hidden features, >= 0."""
    with torch.autocast(both.device.type, torch.bfloat16):
        features = network.backbone(both.contiguous(memory_format=torch.channels_last))
        y = network.decoder(network.aspp(features.x16), features)
    y = y.float()
    return y[:, :1], y[:, 1:4], y[:, 4:5], y[:, 5:].relu()


def _middle(frames: Tensor) -> Tensor:
    """Bilinear resize to a quarter: the mean of the middle 2 x 2 pixels, 0..1."""
    cells = frames.unflatten(3, (-1, DOWNSAMPLED)).unflatten(2, (-1, DOWNSAMPLED))
    return cells[:, :, :, 1:3, :, 1:3].float().mean((3, 5)) * (1 / 255)
