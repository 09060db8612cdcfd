"""The original: the published network in PyTorch, patch by patch, float32 (or float64)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from toolchain.catalog.arguments import ExportSettings
from toolchain.definitions.arrays import Floats, Pixels
from toolchain.definitions.ports import CELL, PROBES
from toolchain.network.checkpoint import load_network
from toolchain.network.refiner import Refiner, Selection, Shift
from toolchain.runtimes.base import Inference, planes, unpack


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

    @property
    def conditions(self) -> Mapping[str, Any]:
        """See `Runtime.conditions`."""
        return {
            "runtime": "PyTorch",
            "version": torch.__version__,
            "device": "CPU",
            "asked": self.executed,
            "executed": self.executed,
            "threads": torch.get_num_threads(),
        }

    def infer(self, src: Pixels, bgr: Pixels) -> Inference:
        """See `Runtime.infer`."""
        with torch.inference_mode():
            outputs = self._network(self._tensor(src), self._tensor(bgr))
        pha, fgr = (value.float().numpy() for value in (outputs.pha, outputs.fgr))
        inner = {name: getattr(outputs, name).float().numpy() for name in PROBES}
        return unpack(pha, fgr, inner)

    def largest_activation(self, src: Pixels, bgr: Pixels) -> tuple[str, float]:
        """The module whose output holds the largest absolute value, and that value."""
        found: dict[str, float] = {}

        def see(name: str) -> Callable[[nn.Module, object, object], None]:
            def hook(_module: nn.Module, _given: object, out: object) -> None:
                if isinstance(out, torch.Tensor):
                    found[name] = max(found.get(name, 0.0), float(out.abs().max()))

            return hook

        hooks = [
            part.register_forward_hook(see(name))
            for name, part in self._network.named_modules()
            if not list(part.children())
        ]
        self.infer(src, bgr)
        for hook in hooks:
            hook.remove()
        name = max(found, key=lambda key: found[key])
        return name, found[name]

    def refiner_on(self, src: Pixels, bgr: Pixels) -> RefinerOnFrame:
        """The refiner with what the base network gave it for this frame."""
        seen: list[tuple[torch.Tensor, ...]] = []
        hook = self._network.refiner.register_forward_pre_hook(lambda _, given: seen.append(given))
        self.infer(src, bgr)
        hook.remove()
        src_bgr, coarse, hid, _ = seen[0]
        return RefinerOnFrame(self._network.refiner, src_bgr, coarse, hid)

    def _tensor(self, frame: Pixels) -> torch.Tensor:
        return torch.from_numpy(planes(frame)).to(self._dtype) / 255


@dataclass(frozen=True)
class RefinerOnFrame:
    """The published refiner, ready to refine any patch of one frame, also beside its place."""

    refiner: Refiner
    src_bgr: torch.Tensor
    coarse: torch.Tensor
    hid: torch.Tensor

    def outputs(self, cells: torch.Tensor, shift: Shift) -> Floats:
        """`cells`: N x (row, column).  Returns N x (pha, fgr) x 4 x 4, RGB 0..1, as `infer`'s."""
        places = torch.nn.functional.pad(cells, (1, 0))  # batch 0
        with torch.inference_mode():
            out = self.refiner.patches(self.src_bgr, self.coarse, self.hid, places, shift)
            rows, columns = (cells[:, axis, None] * CELL + torch.arange(CELL) for axis in (0, 1))
            src = self.src_bgr[0, :3][:, rows[:, :, None], columns[:, None, :]]
            out[:, 1:] += src.transpose(0, 1)
            values: Floats = out.clamp(0.0, 1.0).float().numpy()
        return values
