"""BatchNorm folded into the convolution before it, in float64, rounded once.

For a convolution with weight w followed by BatchNorm with scale g, shift b, mean m, variance v:
w' = w g / sqrt(v + eps), b' = b - m g / sqrt(v + eps); eps is PyTorch's default 1e-5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from toolchain.network.matting import MattingNetwork

EPSILON = 1e-5
BATCHNORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class FoldedConvolution:
    """A convolution as applied at inference.

    Attributes:
        weight: O x I x kh x kw, float64.
        bias: O values, float64.
        batchnorm: Name of the folded BatchNorm, "" if the convolution has its own bias.
    """

    weight: Tensor
    bias: Tensor
    batchnorm: str


def fold_state_dict(state: Mapping[str, Tensor]) -> dict[str, FoldedConvolution]:
    """Fold every BatchNorm of a state dict into its convolution.

    Args:
        state: State dict of a `MattingNetwork`.  Each convolution is followed by the five entries
            of its BatchNorm or by its own bias.

    Returns:
        Every convolution by its name, in the order of the state dict.
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
            result[name] = FoldedConvolution(weight.double(), state[f"{name}.bias"].double(), "")
            continue
        scale, shift, mean, variance, _ = (
            state[f"{following}.{entry}"].double() for entry in BATCHNORM
        )
        factor = scale / (variance + EPSILON).sqrt()
        result[name] = FoldedConvolution(
            weight.double() * factor[:, None, None, None], shift - mean * factor, following
        )
    return result


def fold(network: MattingNetwork) -> MattingNetwork:
    """Fold every BatchNorm of `network` in place, for evaluation only, and return it."""
    for name, folded in fold_state_dict(network.state_dict()).items():
        module = network.get_submodule(name)
        assert isinstance(module, nn.Conv2d)
        module.weight = nn.Parameter(folded.weight.float(), requires_grad=False)
        module.bias = nn.Parameter(folded.bias.float(), requires_grad=False)
        if folded.batchnorm:
            network.set_submodule(folded.batchnorm, nn.Identity())
    return network.eval()
