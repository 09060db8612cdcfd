"""The whole network: downsample, base, refine; src and bgr in, alpha and foreground out."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolchain.definitions.ports import CELL
from toolchain.network.aspp import ASPP
from toolchain.network.backbone import MobileNetV2Encoder
from toolchain.network.decoder import Decoder
from toolchain.network.refiner import Refiner, Selection
from toolchain.network.resize import bilinear

SEEN = 1 + 3 + 1  # pha, fgr residual, err
HIDDEN = 32


class Outputs(NamedTuple):
    """What the network gives, float32.  H, W: the frame's size; h, w: the downsampled one."""

    pha: Tensor  # alpha matte, B x 1 x H x W, 0..1
    fgr: Tensor  # foreground, B x 3 x H x W, RGB 0..1
    pha_sm: Tensor  # alpha before refinement, B x 1 x h x w, 0..1
    fgr_sm: Tensor  # foreground before refinement, B x 3 x h x w, RGB 0..1
    err_sm: Tensor  # expected error of pha_sm, B x 1 x h x w, 0..1
    ref_sm: Tensor  # 1 where the 4x4 patch was refined, B x 1 x H/4 x W/4
    # What the stages hand on, for those who look for the one that went wrong:
    src_bgr_sm: Tensor  # both frames downsampled, B x 6 x h x w, RGB 0..1
    res_sm: Tensor  # the base network's fgr residual, B x 3 x h x w, not clamped
    hid_sm: Tensor  # what the base network tells the refiner, B x 32 x h x w, >= 0
    refined: Tensor  # pha and fgr residual, B x 4 x H x W, not clamped; valid where ref_sm is 1


class Base(NamedTuple):
    """The base network's four results at the downsampled size."""

    pha: Tensor  # B x 1, 0..1
    fgr: Tensor  # B x 3, residual: foreground - src, not clamped
    err: Tensor  # B x 1, 0..1
    hid: Tensor  # B x 32, >= 0


def base(seen: Tensor, hidden: Tensor) -> Base:
    """From what the decoder gives: its first `SEEN` outputs, and the others."""
    return Base(
        pha=seen[:, :1].clamp(0.0, 1.0),
        fgr=seen[:, 1:4],
        err=seen[:, 4:5].clamp(0.0, 1.0),
        hid=hidden.relu(),
    )


class MattingNetwork(nn.Module):
    """BackgroundMattingV2 with a MobileNetV2 backbone ("MattingRefine"), 382 state-dict entries.

    `backbone_scale`: size of the base network's input relative to the frame, 0 < scale <= 1.
    `selection`: which patches are refined.  `static`: refine everywhere and mask, so that no
    shape depends on the frame's content; the numbers are the same.
    """

    def __init__(
        self,
        backbone_scale: float = 0.25,
        selection: Selection | None = None,
        *,
        static: bool = False,
    ) -> None:
        super().__init__()
        self.backbone, self.aspp = MobileNetV2Encoder(), ASPP()
        self.decoder = Decoder(SEEN + HIDDEN)
        self.backbone_scale = backbone_scale
        self.selection = selection or Selection()
        self.static = static
        self.refiner = Refiner(HIDDEN)

    def base(self, src_bgr_sm: Tensor) -> Base:
        """The base network on both frames, B x 6 x h x w, RGB 0..1."""
        features = self.backbone(src_bgr_sm)
        y = self.decoder(self.aspp(features.x16), features)
        return base(y[:, :SEEN], y[:, SEEN:])

    def forward(self, src: Tensor, bgr: Tensor) -> Outputs:
        """`src`, `bgr`: B x 3 x H x W, float32, RGB 0..1, H and W divisible by 4."""
        height, width = src.shape[2:]
        small = (int(height * self.backbone_scale), int(width * self.backbone_scale))
        src_bgr = torch.cat([src, bgr], dim=1)
        src_bgr_sm = bilinear(src_bgr, small)
        base = self.base(src_bgr_sm)
        coarse = torch.cat([base.pha, base.fgr], dim=1)
        err = bilinear(base.err, (height // CELL, width // CELL))
        ref = self.selection.choose(err, static=self.static)
        if self.static:
            refined = self.refiner.everywhere(src_bgr, coarse, base.hid)
            mask = functional.interpolate(ref, scale_factor=float(CELL), mode="nearest")
            out = torch.where(mask > 0, refined, bilinear(coarse, (height, width)))
        else:
            out = refined = self.refiner(src_bgr, coarse, base.hid, ref)
        return outputs(src, src_bgr_sm, base, ref, out, refined)


def outputs(
    src: Tensor, src_bgr_sm: Tensor, base: Base, ref: Tensor, out: Tensor, refined: Tensor
) -> Outputs:
    """All results; `out`: pha and fgr residual, B x 4 x H x W, of the whole frame.

    Colour by colour, so that a graph that takes BGR reads its frame where it lies.
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
