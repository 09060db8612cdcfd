"""Quantization of a float IR, calibrated on frames; repeatable with other ignored layers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toolchain.definitions.ports import RT_INFO
from toolchain.errors import QuantizationError
from toolchain.progress import Listener
from toolchain.runtimes.openvino_api import last_line, openvino
from toolchain.stages.quantize.calibration_frames import build_loaders
from toolchain.stages.quantize.layers import find_convolutions, group_layers, is_in_layers
from toolchain.stages.quantize.nncf_adapter import FramePair, quantize_convolutions
from toolchain.stages.quantize.request import QuantizeRequest


class CalibratedQuantizer:
    """A float IR and its calibration frames.

    Attributes:
        layers: Layers that can be quantized.
        groups: The same layers in groups that are ignored together.
        size: Width and height of the frames.
        names: Names of the frames, once they are loaded.

    Raises:
        QuantizationError: The IR cannot be read, or a layer to ignore does not exist.
    """

    def __init__(self, request: QuantizeRequest, listener: Listener) -> None:
        self._request, self._listener = request, listener
        self._core = openvino.Core()
        self._core.set_property({"ENABLE_MMAP": False})
        model = self._read()
        self.layers = tuple(dict.fromkeys(find_convolutions(model).values()))
        self.groups = group_layers(model)
        absent = [
            name
            for name in request.ignored
            if not any(is_in_layers(layer, (name,)) for layer in self.layers)
        ]
        if absent:
            raise QuantizationError(
                f"{request.source}: layer to ignore not found: {', '.join(absent)}",
                kept="No IR was written.",
                hint=f"Its layers: {', '.join(self.layers)}.",
            )
        shape = list(model.input("src").shape)
        channels_last = shape[3] == 3  # noqa: PLR2004 - colours
        height, width = shape[1:3] if channels_last else shape[2:]
        self.size = (int(width), int(height))
        self._loaders = build_loaders(request.dataset, request.calibration, self.size)
        self._frames: list[FramePair] = []
        self.names: list[str] = []

    def write(self, target: Path, ignored: Sequence[str]) -> tuple[str, ...]:
        """Write `target`, quantized except for the ignored layers; return the quantized layers."""
        model = self._read()
        given = {node.get_friendly_name() for node in model.get_ordered_ops()}
        chosen = {
            node: layer
            for node, layer in find_convolutions(model).items()
            if not is_in_layers(layer, tuple(ignored))
        }
        if not chosen:
            raise QuantizationError(
                f"{self._request.source}: no layer is left to quantize",
                kept="No IR was written.",
                hint="Ignore fewer layers.",
            )
        frames = self._load()
        with self._listener.task("Calibrating", None, "frames") as task:
            made = quantize_convolutions(
                model, frames, set(chosen), self._request.device, task.reach
            )
        _name_new_nodes(made, given)
        made.set_rt_info("int8", [RT_INFO, "convolutions"])
        made.set_rt_info(" ".join(ignored), [RT_INFO, "float_layers"])
        openvino.save_model(made, target, compress_to_fp16=False)
        return tuple(dict.fromkeys(chosen.values()))

    def _read(self) -> Any:
        try:
            return self._core.read_model(self._request.source)
        except RuntimeError as error:
            raise QuantizationError(
                f"{self._request.source}: OpenVINO cannot read it: {last_line(error)}",
                kept="No IR was written.",
                hint="Convert it again.",
            ) from error

    def _load(self) -> list[FramePair]:
        """Load the frames as uint8; floats would take four times the memory."""
        if not self._frames:
            with self._listener.task("Reading frames", len(self._loaders), "frames") as task:
                for number, load in enumerate(self._loaders):
                    frame = load()
                    self.names.append(frame.name)
                    self._frames.append((frame.src, frame.bgr))
                    task.reach(number + 1)
        return self._frames


def _name_new_nodes(model: Any, given: set[str]) -> None:
    """Name new nodes by type and number; NNCF's and OpenVINO's names depend on previous calls."""
    counts: dict[str, int] = {}
    for node in model.get_ordered_ops():
        if node.get_friendly_name() not in given:
            kind = node.get_type_name()
            count = counts[kind] = counts.get(kind, 0) + 1
            node.set_friendly_name(f"int8/{kind}/{count}")
