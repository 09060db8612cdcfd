"""Losses: errors of alpha, its edges, the foreground, the expected error."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

LEAK = 0.02


def leaky_clamp(x: Tensor) -> Tensor:
    """Clamp to 0..1 with a slope outside, where the gradient of a plain clamp is 0."""
    return x.clamp(0, 1) + LEAK * (x - x.clamp(0, 1))


def alpha_loss(alpha: Tensor, truth: Tensor) -> Tensor:
    """Mean |difference| plus twice that of the Sobel gradients."""
    return functional.l1_loss(alpha, truth) + 2 * functional.l1_loss(_sobel(alpha), _sobel(truth))


def foreground_loss(foreground: Tensor, truth: Tensor, alpha: Tensor) -> Tensor:
    """Mean |difference| where there is any foreground."""
    seen = (alpha > 0).float()
    return ((foreground - truth).abs() * seen).sum() / (3 * seen.sum() + 1)


def forecast_loss(err: Tensor, wrong: Tensor, least: float) -> Tensor:
    """Mean squared difference of the expected error from alpha's |error|, at least `least`.

    With an expected error of 0 for all nearly correct pixels, the selection of patches would be
    arbitrary.
    """
    return functional.mse_loss(err, wrong.clamp(min=least))


def steepness_loss(alpha: Tensor, truth: Tensor) -> Tensor:
    """Half of the mean |difference| of the steps from pixel to pixel, N x H x W, both ways."""
    down = functional.l1_loss(alpha.diff(dim=1), truth.diff(dim=1))
    return (down + functional.l1_loss(alpha.diff(dim=2), truth.diff(dim=2))) / 2


def _sobel(x: Tensor) -> Tensor:
    kernel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]) / 8
    kernels = torch.stack([kernel, kernel.T])[:, None].to(x)
    return functional.conv2d(functional.pad(x, (1, 1, 1, 1), "replicate"), kernels)
