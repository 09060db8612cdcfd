"""The whole network: downsample, base, refine; src and bgr in, alpha and foreground out."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolchain.definitions.architecture import MOBILENETV2, Architecture
from toolchain.definitions.ports import CELL
from toolchain.network.aspp import ASPP
from toolchain.network.backbones import BACKBONES
from toolchain.network.decoder import Decoder
from toolchain.network.refiner import Refiner, Selection
from toolchain.network.resize import bilinear

VISIBLE_CHANNELS = 1 + 3 + 1  # pha, fgr residual, err: the decoder's outputs before the hidden ones


class Outputs(NamedTuple):
    """Outputs of the network, float32.  H, W: size of the frame; h, w: the downsampled size.

    Those after `ref_sm` pass from one stage to the next; diagnostics compare them.

    Attributes:
        pha: Alpha matte, B x 1 x H x W, 0..1.
        fgr: Foreground, B x 3 x H x W, RGB 0..1.
        pha_sm: Alpha before refinement, B x 1 x h x w, 0..1.
        fgr_sm: Foreground before refinement, B x 3 x h x w, RGB 0..1.
        err_sm: Expected error of `pha_sm`, B x 1 x h x w, 0..1.
        ref_sm: 1 where the 4x4 patch was refined, else 0, B x 1 x H/4 x W/4.
        src_bgr_sm: Frame and clean plate downsampled, B x 6 x h x w, RGB 0..1.
        res_sm: Foreground residual of the base network, B x 3 x h x w, not clamped.
        hid_sm: Hidden channels that the base network passes to the refiner, B x C x h x w, >= 0.
        refined: Alpha and foreground residual after refinement, B x 4 x H x W, not clamped; valid
            where `ref_sm` is 1.
    """

    pha: Tensor
    fgr: Tensor
    pha_sm: Tensor
    fgr_sm: Tensor
    err_sm: Tensor
    ref_sm: Tensor
    src_bgr_sm: Tensor
    res_sm: Tensor
    hid_sm: Tensor
    refined: Tensor


class BaseOutputs(NamedTuple):
    """Outputs of the base network at the downsampled size.

    Attributes:
        pha: Alpha matte, B x 1 x h x w, 0..1.
        fgr: Residual of the foreground (foreground - src), B x 3 x h x w, not clamped.
        err: Expected error of `pha`, B x 1 x h x w, 0..1.
        hid: Hidden channels, B x C x h x w, >= 0.
    """

    pha: Tensor
    fgr: Tensor
    err: Tensor
    hid: Tensor


class MattingNetwork(nn.Module):
    """BackgroundMattingV2 with refinement ("MattingRefine"), keys as in the published state dict.

    Args:
        backbone_scale: Size of the base network's input relative to the frame, 0 < scale <= 1.
        selection: Which patches are refined.
        architecture: Backbone and channels.
        static: Refine everywhere and mask, so that no shape depends on the frame's content.  The
            numbers are the same.
    """

    def __init__(
        self,
        backbone_scale: float = 0.25,
        selection: Selection | None = None,
        *,
        architecture: Architecture = MOBILENETV2,
        static: bool = False,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.backbone = BACKBONES[architecture.key]()
        self.aspp = ASPP(architecture.encoder_channels, architecture.aspp_channels)
        self.decoder = Decoder(architecture, VISIBLE_CHANNELS + architecture.hidden_channels)
        self.backbone_scale = backbone_scale
        self.selection = selection or Selection()
        self.static = static
        self.refiner = Refiner(architecture.hidden_channels)

    def base(self, src_bgr_sm: Tensor) -> BaseOutputs:
        """Run the base network: backbone, ASPP, decoder.

        Args:
            src_bgr_sm: Frame and clean plate, B x 6 x h x w, RGB 0..1.
        """
        features = self.backbone(src_bgr_sm)
        y = self.decoder(self.aspp(features.x16), features)
        return split_base_outputs(y[:, :VISIBLE_CHANNELS], y[:, VISIBLE_CHANNELS:])

    def downsample(self, src: Tensor, bgr: Tensor) -> Tensor:
        """Return frame and clean plate at the base network's size, B x 6 x h x w."""
        height, width = src.shape[2:]
        small = (int(height * self.backbone_scale), int(width * self.backbone_scale))
        return bilinear(torch.cat([src, bgr], dim=1), small)

    def forward(self, src: Tensor, bgr: Tensor) -> Outputs:
        """Run the network.

        Args:
            src: Frame, B x 3 x H x W, float32, RGB 0..1, H and W divisible by 4.
            bgr: Clean plate, the same shape.
        """
        src_bgr_sm = self.downsample(src, bgr)
        return self.refine(src, bgr, src_bgr_sm, self.base(src_bgr_sm))

    def refine(self, src: Tensor, bgr: Tensor, src_bgr_sm: Tensor, base: BaseOutputs) -> Outputs:
        """Select patches and refine them.  Arguments as in `downsample` and `base`."""
        height, width = src.shape[2:]
        src_bgr = torch.cat([src, bgr], dim=1)
        coarse = torch.cat([base.pha, base.fgr], dim=1)
        cells = bilinear(base.err, (height // CELL, width // CELL))
        ref = self.selection.choose(cells, static=self.static)
        if self.static:
            refined = self.refiner.refine_everywhere(src_bgr, coarse, base.hid)
            mask = functional.interpolate(ref, scale_factor=float(CELL), mode="nearest")
            out = torch.where(mask > 0, refined, bilinear(coarse, (height, width)))
        else:
            out = refined = self.refiner(src_bgr, coarse, base.hid, ref)
        return assemble_outputs(src, src_bgr_sm, base, ref, out, refined)


def get_state_shapes(architecture: Architecture = MOBILENETV2) -> dict[str, tuple[int, ...]]:
    """Return the shapes in the state dict of an architecture by key, in the published order."""
    with torch.device("meta"):
        state = MattingNetwork(architecture=architecture).state_dict()
    return {key: tuple(value.shape) for key, value in state.items()}


def split_base_outputs(visible: Tensor, hidden: Tensor) -> BaseOutputs:
    """Split and clamp the outputs of the decoder.

    Args:
        visible: pha, fgr residual and err, B x 5 x h x w.
        hidden: The other outputs, B x C x h x w.
    """
    return BaseOutputs(
        pha=visible[:, :1].clamp(0.0, 1.0),
        fgr=visible[:, 1:4],
        err=visible[:, 4:5].clamp(0.0, 1.0),
        hid=hidden.relu(),
    )


def assemble_outputs(
    src: Tensor, src_bgr_sm: Tensor, base: BaseOutputs, ref: Tensor, out: Tensor, refined: Tensor
) -> Outputs:
    """Assemble the outputs of the network.

    Each colour of the foreground is computed by itself, so that a converted graph with BGR inputs
    reads each colour in place, without a reversed copy of the frame.

    Args:
        src: Frame, B x 3 x H x W.
        src_bgr_sm: Frame and clean plate downsampled, B x 6 x h x w.
        base: Outputs of the base network.
        ref: Map of the refined patches, B x 1 x H/4 x W/4.
        out: pha and fgr residual of the whole frame, B x 4 x H x W.
        refined: See `Outputs.refined`.
    """
    pha, *residual = out.chunk(4, dim=1)
    colours = zip(residual, src.chunk(3, dim=1), strict=True)
    return Outputs(
        pha=pha.clamp(0.0, 1.0),
        fgr=torch.cat([(one + other).clamp(0.0, 1.0) for one, other in colours], dim=1),
        pha_sm=base.pha,
        fgr_sm=(base.fgr + src_bgr_sm[:, :3]).clamp(0.0, 1.0),
        err_sm=base.err,
        ref_sm=ref,
        src_bgr_sm=src_bgr_sm,
        res_sm=base.fgr,
        hid_sm=base.hid,
        refined=refined,
    )
