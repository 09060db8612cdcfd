"""Count the parameters and the FLOPs of the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from toolchain.definitions.ports import CELL
from toolchain.definitions.refinement import RefineMode
from toolchain.network.matting import MattingNetwork
from toolchain.network.refiner import FULL_HALO, HALF_HALO


@dataclass(frozen=True)
class Profile:
    """Counts of the network for one frame.

    FLOPs are those of the convolutions, two per multiply-add.

    Attributes:
        entries: Number of entries of the state dict.
        parameters: Number of trained values.
        elements: Number of values in all entries.
        backbone_flops: FLOPs of the backbone.
        aspp_flops: FLOPs of the ASPP.
        decoder_flops: FLOPs of the decoder.
        refiner_flops: FLOPs of the refiner for `patches` patches.
        patches: Number of refined 4 x 4 pixel patches.
        mode: Refine mode.
    """

    entries: int
    parameters: int
    elements: int
    backbone_flops: int
    aspp_flops: int
    decoder_flops: int
    refiner_flops: int
    patches: int
    mode: RefineMode

    @property
    def base_flops(self) -> int:
        """FLOPs of backbone, ASPP and decoder."""
        return self.backbone_flops + self.aspp_flops + self.decoder_flops

    @property
    def flops(self) -> int:
        """FLOPs of the whole network."""
        return self.base_flops + self.refiner_flops

    @property
    def counted(self) -> str:
        """How the FLOPs were counted."""
        patches = f"{self.patches} refined patches of {CELL}x{CELL} pixels"
        if self.mode == "thresholding":
            patches = f"at most {patches}: how many are refined depends on the frame"
        return f"convolutions, 2 per multiply-add, {patches}"


def profile(
    width: int = 1280,
    height: int = 720,
    backbone_scale: float = 0.25,
    mode: RefineMode = "sampling",
    sample_pixels: int = 80_000,
) -> Profile:
    """Count for one frame, on meta tensors: nothing is computed.

    Args:
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.
        backbone_scale: See `ExportSettings`.
        mode: Refine mode. In "full" every patch is refined. In "thresholding" the number of
            patches is not known in advance; every patch is counted, as an upper bound.
        sample_pixels: See `ExportSettings`; used in mode "sampling".
    """
    with torch.device("meta"):
        network = MattingNetwork(backbone_scale).eval()
        small = torch.empty(1, 6, int(height * backbone_scale), int(width * backbone_scale))
        counts: dict[str, int] = {}
        hooks = [
            module.register_forward_hook(_counter(counts, name))
            for name, module in network.named_modules()
            if isinstance(module, nn.Conv2d)
        ]
        base = network.base(small)
        cells = (height // CELL) * (width // CELL)
        patches = min(sample_pixels // CELL**2, cells) if mode == "sampling" else cells
        side = CELL // 2 + 2 * HALF_HALO
        full_side = CELL + 2 * FULL_HALO
        channels = base.hid.shape[1] + 4 + 6
        network.refiner.refine(
            torch.empty(patches, channels, side, side),
            torch.empty(patches, 6, full_side, full_side),
        )
        for hook in hooks:
            hook.remove()

    def total(part: str) -> int:
        return sum(count for name, count in counts.items() if name.startswith(part + "."))

    state = network.state_dict()
    return Profile(
        entries=len(state),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        elements=sum(value.numel() for value in state.values()),
        backbone_flops=total("backbone"),
        aspp_flops=total("aspp"),
        decoder_flops=total("decoder"),
        refiner_flops=total("refiner"),
        patches=patches,
        mode=mode,
    )


def _counter(counts: dict[str, int], name: str) -> Callable[[nn.Module, Any, Tensor], None]:
    def hook(module: nn.Module, _: object, output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        per_output = 2 * prod(module.kernel_size) * module.in_channels // module.groups
        counts[name] = per_output * output.numel()

    return hook
