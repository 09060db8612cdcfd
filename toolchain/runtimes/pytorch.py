"""The original: the published network in PyTorch, patch by patch, float32 (or float64)."""

from __future__ import annotations

from pathlib import Path

import torch

from toolchain.catalog.arguments import ExportSettings
from toolchain.network.checkpoint import load_network
from toolchain.network.refiner import Selection
from toolchain.runtimes.base import Inference, Pixels, planes, unpack


class PyTorchRuntime:
    """`double`: compute in float64, to learn how much float32 itself rounds."""

    def __init__(self, checkpoint: Path, settings: ExportSettings, *, double: bool = False) -> None:
        self._network = load_network(
            checkpoint,
            backbone_scale=settings.backbone_scale,
            selection=Selection(settings.mode, settings.sample_pixels, settings.threshold),
        )
        self._dtype = torch.float64 if double else torch.float32
        self._network.to(self._dtype)

    @property
    def executed(self) -> str:
        """The precision that the runtime computes in."""
        return "f64" if self._dtype is torch.float64 else "f32"

    def infer(self, src: Pixels, bgr: Pixels) -> Inference:
        """See `Runtime.infer`."""
        with torch.inference_mode():
            outputs = self._network(self._tensor(src), self._tensor(bgr))
        pha, fgr, ref = (
            value.float().numpy() for value in (outputs.pha, outputs.fgr, outputs.ref_sm)
        )
        return unpack(pha, fgr, ref)

    def _tensor(self, frame: Pixels) -> torch.Tensor:
        return torch.from_numpy(planes(frame)).to(self._dtype) / 255
