"""Recorder of the original's inner tensors: each operator of the network as it runs.

The network has the exported form with static shapes, but runs in PyTorch and keeps the BatchNorms
of the base network.  The export folds a BatchNorm into its convolution, so a convolution's tensor
is recorded after its BatchNorm.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from toolchain.catalog.arguments import ExportSettings
from toolchain.checkpoints.load import load_network
from toolchain.definitions.arrays import Array, Pixels
from toolchain.metrics.matching import Step
from toolchain.network.decoder import SplitDecoder
from toolchain.network.folding import fold
from toolchain.network.matting import VISIBLE_CHANNELS, MattingNetwork
from toolchain.network.mosaic import MosaicMatting, is_mosaic_suitable
from toolchain.network.refiner import Selection
from toolchain.runtimes.base import to_planes

# PyTorch's operators in ONNX's terms.  The others have no counterpart in an export.
OPERATORS = {
    "aten::convolution": "Conv",
    "aten::hardtanh": "Clip",
    "aten::clamp": "Clip",
    "aten::relu": "Relu",
    "aten::cat": "Concat",
    "aten::add": "Add",
    "aten::mul": "Mul",
    "aten::mean": "ReduceMean",
    "aten::expand": "Expand",
    "aten::slice": "Slice",
    "aten::split": "Split",
    "aten::constant_pad_nd": "Pad",
    "aten::upsample_bilinear2d": "Resize",
    "aten::upsample_nearest2d": "Resize",
    "aten::view": "Reshape",
    "aten::topk": "TopK",
    "aten::scatter": "ScatterElements",
    "aten::gt": "Greater",
    "aten::eq": "Equal",
    "aten::le": "LessOrEqual",
    "aten::bitwise_and": "And",
    "aten::bitwise_or": "Or",
    "aten::_to_copy": "Cast",
    "aten::where": "Where",
    "aten::index_select": "Gather",
    "aten::select": "Gather",
    "aten::permute": "Transpose",
    "aten::unsqueeze": "Unsqueeze",
    "aten::index_copy": "ScatterND",
    "aten::ge": "GreaterOrEqual",
    "aten::lt": "Less",
    "aten::_unsafe_view": "Reshape",
}
SCATTER = "aten::scatter"
BATCHNORM = "aten::native_batch_norm"


class OperatorRecorder:
    """The network of a checkpoint, whose operators are recorded while it runs.

    Args:
        checkpoint: File of the weights.
        settings: Settings of the network.
    """

    def __init__(self, checkpoint: Path, settings: ExportSettings) -> None:
        self._network = _as_exported(checkpoint, settings)
        self._scopes: list[str] = [""]
        for name, module in self._network.named_modules():
            if module is not self._network:
                self._tell_scope(name, module)

    def steps(self, src: Pixels, bgr: Pixels) -> tuple[Step, ...]:
        """List the operators that compute something, in execution order.

        Args:
            src: The frame, H x W x 3 uint8 RGB.
            bgr: The clean plate, likewise.
        """
        return tuple(self._run(src, bgr, ()).steps)

    def values(
        self, src: Pixels, bgr: Pixels, wanted: Collection[int], places: Array | None = None
    ) -> Mapping[int, Array]:
        """The tensors of the `wanted` steps, by index; only these are kept in memory.

        `places`: cells to refine instead, in this order, so that later tensors correspond to those
        of another runtime, which may rank nearly equal values differently.
        """
        return self._run(src, bgr, wanted, places).values

    def _run(
        self, src: Pixels, bgr: Pixels, wanted: Collection[int], places: Array | None = None
    ) -> _Recording:
        frames = [torch.from_numpy(to_planes(frame)) / 255 for frame in (src, bgr)]
        recording = _Recording(self._scopes, wanted, places)
        with torch.no_grad(), recording:
            self._network(*frames)
        return recording

    def _tell_scope(self, name: str, module: nn.Module) -> None:
        module.register_forward_pre_hook(lambda *_: self._scopes.append(name))

        def leave(*_: object) -> None:
            self._scopes.pop()

        module.register_forward_hook(leave, always_call=True)


def _as_exported(checkpoint: Path, settings: ExportSettings) -> nn.Module:
    """Load the checkpoint in the form that is exported."""

    def load() -> MattingNetwork:
        return load_network(
            checkpoint,
            backbone_scale=settings.backbone_scale,
            selection=Selection.from_settings(settings),
            static=True,
        )

    network = load()
    if not is_mosaic_suitable(network, settings.width, settings.height):
        return network
    mosaic = MosaicMatting(fold(load()), settings.width, settings.height)
    mosaic.backbone, mosaic.aspp = network.backbone, network.aspp
    mosaic.decoder = SplitDecoder(network.decoder, VISIBLE_CHANNELS)
    return mosaic.eval()


class _Recording(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(
        self, scopes: list[str], wanted: Collection[int], places: Array | None = None
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._scopes = scopes
        self._wanted = frozenset(wanted)
        self._places = None if places is None else torch.from_numpy(places.astype(np.int64))
        self.steps: list[Step] = []
        self.values: dict[int, Array] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = [tuple(item.shape) for item in args if isinstance(item, torch.Tensor)]
        result = func(*args, **(kwargs or {}))
        name = func._schema.name  # noqa: SLF001 - no public interface has the operator's name
        if name == SCATTER and self._places is not None and not result.is_floating_point():
            result = self._places.to(result.dtype)  # the cells that are refined
        out = result[0] if isinstance(result, tuple | list) else result  # the first one's name
        if name == BATCHNORM:
            self._keep(out)
        operator = OPERATORS.get(name.rstrip("_"))
        idle = operator in ("Slice", "Expand") and tuple(out.shape) in given
        if operator is not None and not idle:
            self.steps.append(Step(self._scopes[-1], operator, tuple(out.shape)))
            self._keep(out)
        return result

    def _keep(self, out: torch.Tensor) -> None:
        """Keep a copy as the latest step's value; activations work in place."""
        index = len(self.steps) - 1
        if index in self._wanted:
            self.values[index] = np.array(out.detach().numpy())
