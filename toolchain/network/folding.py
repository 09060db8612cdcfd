"""BatchNorm folded into the convolution before it, in float64, rounded once.

For a convolution with weight w followed by BatchNorm with scale g, shift b, mean m, variance v:
w' = w g / sqrt(v + eps), b' = b - m g / sqrt(v + eps); eps is PyTorch's default 1e-5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from toolchain.network.matting_refine import MattingNetwork

EPSILON = 1e-5
BATCHNORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Convolution:
    """`weight` O x I x kh x kw and `bias` O, float64, as applied at inference.

    `batchnorm`: the folded BatchNorm's module name, "" where the convolution has its own bias.
    """

    weight: Tensor
    bias: Tensor
    batchnorm: str


def folded(state: Mapping[str, Tensor]) -> dict[str, Convolution]:
    """Every convolution of a (strictly checked) state dict by its module name, in its order.

    In the published order each convolution is followed by its BatchNorm's five entries, or, in
    the two last layers, by its own bias.
    """
    keys = list(state)
    result = {}
    for index, key in enumerate(keys):
        weight = state[key]
        if weight.dim() != 4:  # noqa: PLR2004 - O x I x kh x kw: only convolutions
            continue
        name = key.removesuffix(".weight")
        following = keys[index + 1].rpartition(".")[0]
        if following == name:
            result[name] = Convolution(weight.double(), state[f"{name}.bias"].double(), "")
            continue
        scale, shift, mean, variance, _ = (
            state[f"{following}.{entry}"].double() for entry in BATCHNORM
        )
        factor = scale / (variance + EPSILON).sqrt()
        result[name] = Convolution(
            weight.double() * factor[:, None, None, None], shift - mean * factor, following
        )
    return result


def fold(network: MattingNetwork) -> MattingNetwork:
    """Fold every BatchNorm of `network` in place (evaluation only) and give it back."""
    for name, convolution in folded(network.state_dict()).items():
        module = network.get_submodule(name)
        assert isinstance(module, nn.Conv2d)
        module.weight = nn.Parameter(convolution.weight.float(), requires_grad=False)
        module.bias = nn.Parameter(convolution.bias.float(), requires_grad=False)
        if convolution.batchnorm:
            network.set_submodule(convolution.batchnorm, nn.Identity())
    return network.eval()
