"""Legitimate checkpoints that differ in origin: each is a state dict of the network.

Seeds, gains, noise, number types, exact reparametrizations of BatchNorm, collapsed and saturated
heads.  A correct conversion of any of them has to pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from toolchain.catalog.builtin import builtin_config, data_file
from toolchain.catalog.reader import read_model
from toolchain.checkpoints.load import load_state_dict
from toolchain.network.folding import fold_state_dict
from toolchain.network.matting import MattingNetwork

EPSILON = 1e-5  # of BatchNorm
ERR, PHA = 4, 0  # channels of the decoder's last convolution
WIDTH, HEIGHT = 320, 192
State = dict[str, Tensor]
Make = Callable[[], State]


def read_bundled() -> State:
    """Read the weights that ship with the toolchain."""
    file = read_model(builtin_config()).bundled
    assert file is not None
    return load_state_dict(data_file(file.name))


def make_random(seed: int, gain: float = 1.0) -> State:
    """Make random weights that behave like trained ones on noise and soft colours.

    Convolutions are initialized by PyTorch, BatchNorms are mildly random, and the heads are scaled
    to alphas near 0 and 1, small residuals and some expected error.

    Args:
        seed: Seed of everything.
        gain: Factor on every BatchNorm's scale: the larger, the more the network amplifies.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = MattingNetwork().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5 * gain, 1.5 * gain, generator=generator)
            module.bias.data.normal_(0, 0.1, generator=generator)
            module.running_mean.data.normal_(0, 0.1, generator=generator)  # type: ignore[union-attr]
            module.running_var.data.uniform_(0.5, 1.5, generator=generator)  # type: ignore[union-attr]
    frames = _make_frames(generator)
    for conv, targets in (
        (network.decoder.conv4, [(0.5, 0.4), *[(0.0, 0.1)] * 3, (0.1, 0.1)]),
        (network.refiner.conv4, [(0.5, 0.4), *[(0.0, 0.1)] * 3]),
    ):
        outputs: list[Tensor] = []
        hook = conv.register_forward_hook(lambda _m, _i, out, seen=outputs: seen.append(out))
        with torch.no_grad():
            network(*frames)
        hook.remove()
        _rescale(conv, outputs[0], targets)
    return {key: value.clone() for key, value in network.state_dict().items()}


def reparametrized(make: Make, decades: float, seed: int) -> State:
    """Scale each channel of every convolution that a BatchNorm follows, and undo it there.

    The network is the same function: a weight w, mean m and variance v become s w, s m and
    s^2 (v + eps) - eps, with s drawn log-uniformly over `decades` decades around 1.
    """
    state = make()
    generator = torch.Generator().manual_seed(seed)
    for name, convolution in fold_state_dict(state).items():
        norm = convolution.batchnorm
        if not norm:
            continue
        weight, mean = state[f"{name}.weight"], state[f"{norm}.running_mean"]
        variance = state[f"{norm}.running_var"]
        exponent = (torch.rand(len(mean), generator=generator) - 0.5) * decades
        scale = torch.clamp(10**exponent, min=float("-inf"))
        smallest = (EPSILON / (variance.double() + EPSILON)).sqrt() * 1.01  # keeps v >= 0
        scale = torch.maximum(scale.double(), smallest)
        state[f"{name}.weight"] = (weight.double() * scale[:, None, None, None]).float()
        state[f"{norm}.running_mean"] = (mean.double() * scale).float()
        state[f"{norm}.running_var"] = (
            ((variance.double() + EPSILON) * scale.square() - EPSILON).clamp(min=0).float()
        )
    return state


def rounded(make: Make, dtype: torch.dtype) -> State:
    """Round all weights to another type, as a checkpoint saved in half precision has them."""
    return {
        key: value.to(dtype).float() if value.is_floating_point() else value
        for key, value in make().items()
    }


def noisy(make: Make, share: float, seed: int) -> State:
    """Add noise of `share` of each convolution's deviation to its weights."""
    state = make()
    generator = torch.Generator().manual_seed(seed)
    for key, value in state.items():
        if value.dim() == 4:
            noise = torch.randn(value.shape, generator=generator)
            state[key] = value + share * value.std() * noise
    return state


def pruned(make: Make, share: float) -> State:
    """Set the smallest `share` of each convolution's weights to zero."""
    state = make()
    for key, value in state.items():
        if value.dim() == 4:
            cut = value.abs().flatten().kthvalue(max(1, int(share * value.numel()))).values
            state[key] = torch.where(value.abs() <= cut, torch.zeros(()), value)
    return state


def with_head(make: Make, channel: int, bias: float, factor: float = 1.0) -> State:
    """Shift and scale one output of the decoder, so that it collapses or saturates."""
    state = make()
    weight, old = state["decoder.conv4.weight"].clone(), state["decoder.conv4.bias"].clone()
    weight[channel] *= factor
    old[channel] = old[channel] * factor + bias
    return {**state, "decoder.conv4.weight": weight, "decoder.conv4.bias": old}


def with_statistics(make: Make, low: float, high: float, seed: int) -> State:
    """Multiply running variances by random factors, as statistics of other data would."""
    state = make()
    generator = torch.Generator().manual_seed(seed)
    for key, value in state.items():
        if key.endswith("running_var"):
            factor = torch.rand(value.shape, generator=generator) * (high - low) + low
            state[key] = value * factor
    return state


def with_refiner_gain(make: Make, gain: float) -> State:
    """Scale the refiner's last convolution."""
    state = make()
    return {**state, "refiner.conv4.weight": state["refiner.conv4.weight"] * gain}


def list_family() -> Mapping[str, Make]:
    """List the checkpoints by name."""
    random = {f"random, seed {seed}": partial(make_random, seed) for seed in range(6)}
    gains = {
        f"random, gain {gain:g}": partial(make_random, 10 + index, gain)
        for index, gain in enumerate((0.7, 1.5, 2.0, 2.5))
    }
    own: Make = read_bundled
    other: Make = partial(make_random, 20)
    scaled = {
        f"{name}, BatchNorm rescaled over {decades:g} decades": partial(
            reparametrized, make, decades, index
        )
        for index, (name, make, decades) in enumerate(
            (
                ("bundled", own, 1.0),
                ("bundled", own, 3.0),
                ("bundled", own, 6.0),
                ("random", other, 2.0),
                ("random", other, 4.0),
            )
        )
    }
    return {
        "bundled": own,
        **random,
        **gains,
        **scaled,
        "bundled, rounded to float16": partial(rounded, own, torch.float16),
        "bundled, rounded to bfloat16": partial(rounded, own, torch.bfloat16),
        "random, rounded to float16": partial(rounded, other, torch.float16),
        "bundled, 1 % noise": partial(noisy, own, 0.01, 1),
        "bundled, 10 % noise": partial(noisy, own, 0.1, 2),
        "bundled, half of the weights zero": partial(pruned, own, 0.5),
        "bundled, err collapsed": partial(with_head, own, ERR, -10.0),
        "random, err collapsed": partial(with_head, other, ERR, -10.0),
        "bundled, err saturated": partial(with_head, own, ERR, 10.0),
        "random, err saturated": partial(with_head, other, ERR, 10.0),
        "random, err small": partial(with_head, other, ERR, 0.0, 1e-3),
        "bundled, alpha saturated": partial(with_head, own, PHA, 10.0),
        "random, alpha collapsed": partial(with_head, other, PHA, -10.0),
        "random, alpha steep": partial(with_head, other, PHA, 0.0, 30.0),
        "bundled, other statistics": partial(with_statistics, own, 0.8, 1.25, 3),
        "random, other statistics": partial(with_statistics, other, 0.5, 2.0, 4),
        "bundled, refiner x 4": partial(with_refiner_gain, own, 4.0),
        "random, refiner x 0.1": partial(with_refiner_gain, other, 0.1),
    }


def _make_frames(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    coarse = torch.rand(1, 3, 6, 8, generator=generator)
    bgr = nn.functional.interpolate(coarse, (HEIGHT, WIDTH), mode="bicubic").clamp(0, 1)
    src = bgr.clone()
    middle = src[:, :, HEIGHT // 4 : -HEIGHT // 4, WIDTH // 4 : -WIDTH // 4]
    middle.copy_(torch.rand(middle.shape, generator=generator))
    return src, bgr


def _rescale(conv: nn.Conv2d, output: Tensor, targets: list[tuple[float, float]]) -> None:
    """Give the first channels of `output`, which `conv` computed, these means and deviations."""
    assert conv.bias is not None
    for channel, (mean, deviation) in enumerate(targets):
        values = output[:, channel]
        factor = deviation / max(float(values.std()), 1e-6)
        conv.weight.data[channel] *= factor
        conv.bias.data[channel] = mean + (conv.bias.data[channel] - values.mean()) * factor
