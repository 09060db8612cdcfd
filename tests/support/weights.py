"""Random weights that behave like trained ones: alpha near 0 and 1, some doubt, no chaos."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from toolchain.network.matting_refine import MattingNetwork

WIDTH, HEIGHT = 320, 192  # small enough to be quick; 20 x 12 pixels reach the deepest layer


def plausible_state(seed: int = 0) -> dict[str, Tensor]:
    """All 382 entries.

    PyTorch's own initial convolutions and mildly random BatchNorms, whose layers neither blow up
    rounding nor fade out; the two heads are scaled so that alpha has mean 0.5 and deviation 0.4,
    the foreground residual 0 and 0.1, err 0.1 and 0.1 on a test picture.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = MattingNetwork().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight, 0.5, 1.5),
                (module.running_var, 0.5, 1.5),
            ):
                tensor.data.uniform_(low, high, generator=generator)
            for tensor in (module.bias, module.running_mean):
                tensor.data.normal_(0, 0.1, generator=generator)
    src, bgr = picture(seed, WIDTH, HEIGHT)
    seen: dict[str, Tensor] = {}
    hooks = [
        part.register_forward_hook(lambda _m, _i, out, name=name: seen.update({name: out}))
        for name, part in (("base", network.decoder.conv4), ("refined", network.refiner.conv4))
    ]
    with torch.no_grad():
        network(src, bgr)
        _rescale(network.decoder.conv4, seen["base"], [(0.5, 0.4)] + [(0, 0.1)] * 3 + [(0.1, 0.1)])
        network(src, bgr)
        _rescale(network.refiner.conv4, seen["refined"], [(0.5, 0.4)] + [(0, 0.1)] * 3)
    for hook in hooks:
        hook.remove()
    return {key: value.clone() for key, value in network.state_dict().items()}


def picture(seed: int, width: int, height: int) -> tuple[Tensor, Tensor]:
    """`src` and `bgr`, 1 x 3 x H x W, 0..1: soft colours, and noise in the middle of `src`."""
    generator = torch.Generator().manual_seed(seed + 1)
    coarse = torch.rand(1, 3, 6, 8, generator=generator)
    bgr = nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    src = bgr.clone()
    middle = src[:, :, height // 4 : -height // 4, width // 4 : -width // 4]
    middle.copy_(torch.rand(middle.shape, generator=generator))
    return src, bgr


def save_checkpoint(path: Path, seed: int = 0) -> Path:
    """Write plausible weights as the published checkpoint is written (torch.save)."""
    torch.save(plausible_state(seed), path)
    return path


def _rescale(conv: nn.Conv2d, output: Tensor, wanted: list[tuple[float, float]]) -> None:
    assert conv.bias is not None
    for channel, (mean, deviation) in enumerate(wanted):
        values = output[:, channel]
        factor = deviation / max(float(values.std()), 1e-6)
        conv.weight.data[channel] *= factor
        conv.bias.data[channel] = mean + (conv.bias.data[channel] - values.mean()) * factor
