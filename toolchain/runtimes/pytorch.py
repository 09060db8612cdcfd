"""The original: the published network in PyTorch, which refines patch by patch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from toolchain.catalog.arguments import ExportSettings
from toolchain.checkpoints.load import load_network
from toolchain.definitions.arrays import AnyFloats, Floats, Pixels
from toolchain.definitions.ports import CELL, PROBES
from toolchain.network.matting import Outputs
from toolchain.network.refiner import FULL_HALO, HALF_HALO, Refiner, Selection, Shift
from toolchain.network.resize import bilinear
from toolchain.runtimes.base import Inference, to_inference, to_planes


class PyTorchRuntime:
    """The network of a checkpoint, see `runtimes.base.Runtime`.

    Args:
        checkpoint: File of the weights.
        settings: Settings of the network.
        double: Compute in float64 instead of float32; outputs are float64 too.
    """

    def __init__(self, checkpoint: Path, settings: ExportSettings, *, double: bool = False) -> None:
        network = load_network(
            checkpoint,
            backbone_scale=settings.backbone_scale,
            selection=Selection.from_settings(settings),
        )
        self._dtype = torch.float64 if double else torch.float32
        self._network = network.to(self._dtype)
        if not double:  # oneDNN computes float32 twice as fast in this layout
            self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def executed(self) -> str:
        """Precision that the runtime computes in: "f32" or "f64"."""
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
            return _unpack(self._network(self._tensor(src), self._tensor(bgr)))

    def infer_with_errors(
        self, src: Pixels, bgr: Pixels, errors: Iterable[AnyFloats]
    ) -> Iterator[Inference]:
        """Run the network with given expected errors instead of its own.

        Args:
            src: The frame.
            bgr: The clean plate.
            errors: Expected errors to select patches by, 1 x 1 x h x w each.

        Yields:
            The outputs for each of them.
        """
        network, frames = self._network, (self._tensor(src), self._tensor(bgr))
        with torch.inference_mode():
            src_bgr_sm = network.downsample(*frames)
            base = network.base(src_bgr_sm)
        for err in errors:
            with torch.inference_mode():
                given = base._replace(err=torch.from_numpy(err).to(self._dtype))
                outputs = network.refine(*frames, src_bgr_sm, given)
            yield _unpack(outputs)

    def infer_without_onednn(self, src: Pixels, bgr: Pixels) -> Inference:
        """Run `infer` with other kernels, whose order of summation gives other rounding."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about settings of other devices
            with torch.backends.mkldnn.flags(enabled=False):
                return self.infer(src, bgr)

    def largest_activation(self, src: Pixels, bgr: Pixels) -> tuple[str, float]:
        """Return the module whose output has the largest absolute value, and that value."""
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
        """Return the refiner with its inputs for this frame."""
        seen: list[tuple[torch.Tensor, ...]] = []
        hook = self._network.refiner.register_forward_pre_hook(lambda _, given: seen.append(given))
        self.infer(src, bgr)
        hook.remove()
        src_bgr, coarse, hid, _ = seen[0]
        return RefinerOnFrame(self._network.refiner, src_bgr, coarse, hid)

    def _tensor(self, frame: Pixels) -> torch.Tensor:
        return torch.from_numpy(to_planes(frame)).to(self._dtype) / 255


def _unpack(outputs: Outputs) -> Inference:
    inner = {name: getattr(outputs, name).numpy() for name in PROBES}
    return to_inference(outputs.pha.numpy(), outputs.fgr.numpy(), inner)


@dataclass(frozen=True)
class RefinerOnFrame:
    """The published refiner on one frame, which can also refine misaligned patches.

    Attributes:
        refiner: The refiner.
        src_bgr: Frame and plate, 1 x 6 x H x W.
        coarse: Alpha and foreground residual of the base network, 1 x 4 x h x w.
        hid: Hidden channels of the base network, 1 x 32 x h x w.
    """

    refiner: Refiner
    src_bgr: torch.Tensor
    coarse: torch.Tensor
    hid: torch.Tensor

    def outputs(self, cells: torch.Tensor, shift: Shift) -> Floats:
        """Refine patches.

        Args:
            cells: N x (row, column) of the patches.
            shift: Offset of the windows in pixels.

        Returns:
            N x (pha, fgr) x 4 x 4, RGB 0..1.
        """
        with torch.inference_mode():
            out = self.refiner.refine(
                _windows(self._half, cells, CELL // 2, HALF_HALO, shift.half),
                _windows(self.src_bgr, cells, CELL, FULL_HALO, shift.full),
            )
            rows, columns = (cells[:, axis, None] * CELL + torch.arange(CELL) for axis in (0, 1))
            src = self.src_bgr[0, :3][:, rows[:, :, None], columns[:, None, :]]
            out[:, 1:] += src.transpose(0, 1)
            values: Floats = out.clamp(0.0, 1.0).float().numpy()
        return values

    @cached_property
    def _half(self) -> torch.Tensor:
        size = (self.src_bgr.shape[2] // 2, self.src_bgr.shape[3] // 2)
        with torch.inference_mode():
            maps = bilinear(torch.cat([self.hid, self.coarse], dim=1), size)
            return torch.cat([maps, bilinear(self.src_bgr, size)], dim=1)


def _windows(
    x: torch.Tensor, cells: torch.Tensor, size: int, halo: int, shift: tuple[int, int]
) -> torch.Tensor:
    """Cut windows of `size` pixels and a halo, zero-padded: 1 x C x h x w to N x C x s x s."""
    height, width = x.shape[2:]
    side = torch.arange(-halo, size + halo)
    rows = cells[:, :1] * size + side + shift[0]
    columns = cells[:, 1:] * size + side + shift[1]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[
        :, None, :
    ]
    near = rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :]
    return x[0][:, near[0], near[1]].transpose(0, 1) * inside[:, None]
