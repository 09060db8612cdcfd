"""Random weights that behave like trained ones: alpha near 0 and 1, some err, stable rounding."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from toolchain.definitions.architecture import MOBILENETV2, Architecture
from toolchain.network.matting import MattingNetwork

WIDTH, HEIGHT = 320, 192  # small enough to be quick; 20 x 12 pixels reach the deepest layer


def plausible_state(seed: int = 0, architecture: Architecture = MOBILENETV2) -> dict[str, Tensor]:
    """Make a full state dict.

    Convolutions are initialized by PyTorch.  BatchNorms are mildly random, so that layers neither
    amplify rounding nor vanish.  The last convolutions of decoder and refiner are scaled so that
    on test frames alpha has mean 0.5 and deviation 0.4, the foreground residual 0 and 0.1, err 0.1
    and 0.1.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = MattingNetwork(architecture=architecture).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.running_var):
                tensor.data.uniform_(0.5, 1.5, generator=generator)
            for tensor in (module.bias, module.running_mean):
                tensor.data.normal_(0, 0.1, generator=generator)
    frames = make_frames(seed, WIDTH, HEIGHT)
    outputs: dict[str, Tensor] = {}
    hooks = [
        part.register_forward_hook(lambda _m, _i, out, name=name: outputs.update({name: out}))
        for name, part in (("base", network.decoder.conv4), ("refined", network.refiner.conv4))
    ]
    alpha, residual, err = (0.5, 0.4), (0, 0.1), (0.1, 0.1)
    with torch.no_grad():
        network(*frames)
        _rescale(network.decoder.conv4, outputs["base"], [alpha, *[residual] * 3, err])
        network(*frames)
        _rescale(network.refiner.conv4, outputs["refined"], [alpha, *[residual] * 3])
    for hook in hooks:
        hook.remove()
    return {key: value.clone() for key, value in network.state_dict().items()}


def make_frames(seed: int, width: int, height: int) -> tuple[Tensor, Tensor]:
    """Make `src` and `bgr`, 1 x 3 x H x W, 0..1: soft colours, and noise in the middle of `src`."""
    generator = torch.Generator().manual_seed(seed + 1)
    coarse = torch.rand(1, 3, 6, 8, generator=generator)
    bgr = nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    src = bgr.clone()
    middle = src[:, :, height // 4 : -height // 4, width // 4 : -width // 4]
    middle.copy_(torch.rand(middle.shape, generator=generator))
    return src, bgr


def save_checkpoint(path: Path, seed: int = 0, architecture: Architecture = MOBILENETV2) -> Path:
    """Write plausible weights as the published checkpoint is written (torch.save)."""
    torch.save(plausible_state(seed, architecture), path)
    return path


def _rescale(conv: nn.Conv2d, output: Tensor, targets: list[tuple[float, float]]) -> None:
    """Give the first channels of `output`, which `conv` computed, these means and deviations."""
    assert conv.bias is not None
    for channel, (mean, deviation) in enumerate(targets):
        values = output[:, channel]
        factor = deviation / max(float(values.std()), 1e-6)
        conv.weight.data[channel] *= factor
        conv.bias.data[channel] = mean + (conv.bias.data[channel] - values.mean()) * factor
