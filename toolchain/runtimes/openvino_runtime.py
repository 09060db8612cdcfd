"""An IR in OpenVINO.  Its inputs are BGR 0..255, float32 NCHW or uint8 NHWC; fgr is RGB."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from toolchain.definitions.arrays import Floats, Pixels
from toolchain.definitions.ports import OUTPUTS, PROBES, SELECTION
from toolchain.definitions.variants import Hint
from toolchain.errors import ValidationError
from toolchain.runtimes.base import Inference, have_same_bits, require_size, to_inference, to_planes
from toolchain.runtimes.openvino_api import last_line, openvino

SELECTION_PROBES = ("err_sm", SELECTION)
_STILL = ("Const", "Input", "Output", "Reorder")  # layers that only store or move values
_SHORT = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


class OpenVinoRuntime:
    """An IR in OpenVINO, and a copy in memory that also returns the inner tensors.

    If the copy's outputs are not bit-identical, another copy that returns fewer inner tensors is
    used to find the selected patches.

    Args:
        xml: The IR.
        hint: "f32", or "default" for the device's own choice.
        device: Device by OpenVINO's name.
        edit: Changes the graph in memory first.

    Attributes:
        executed: Precision that the device computes in.
        conditions: See `Runtime.conditions`; "layers": number of layers compiled in each precision.

    Raises:
        ValidationError: The IR cannot be run on the device, or has unexpected inputs or outputs.
    """

    def __init__(
        self,
        xml: Path,
        hint: Hint = "f32",
        device: str = "CPU",
        edit: Callable[[Any], None] | None = None,
    ) -> None:
        core = openvino.Core()
        there = core.available_devices
        if device.partition(".")[0] not in {name.partition(".")[0] for name in there}:
            raise ValidationError(
                f"{device}: device not found by OpenVINO; available: {', '.join(there)}",
                hint="Check the name and the device's driver.",
            )
        config = precision_config(hint)
        try:
            model = core.read_model(xml)
            check_ports(model, xml)
            if edit is not None:
                edit(model)
            made = {name for node in model.get_ops() for o in node.outputs() for name in o.names}
            self._probes = [name for name in PROBES if name in made]
            self._plain = core.compile_model(model, device, config)

            def also(names: Sequence[str]) -> Any:
                probed = core.read_model(xml)
                if edit is not None:
                    edit(probed)
                probed.add_outputs(list(names))
                return core.compile_model(probed, device, config)

            self._also = also
            self._probe = also(self._probes)
        except RuntimeError as error:
            raise ValidationError(
                f"{xml}: OpenVINO cannot run it on {device}: {last_line(error)}",
                hint="Convert it again; see `matting info` for the versions in use.",
            ) from error
        self._proven = False
        self._choice: Any = None  # in low precisions, more outputs may change rounding
        self._xml = xml
        self._size = list(self._plain.input("src").shape)
        self._executed = get_precision(self._plain)
        self._conditions = {
            "runtime": "OpenVINO",
            "version": openvino.__version__,
            "device": device,
            "device_name": core.get_property(device, "FULL_DEVICE_NAME"),
            "asked": hint,
            "executed": self._executed,
            "layers": _layer_precisions(self._plain),
        }

    @property
    def executed(self) -> str:
        """The precision that the device computes in."""
        return self._executed

    @property
    def conditions(self) -> Mapping[str, Any]:
        """See `Runtime.conditions`.  `layers`: number of layers in each precision."""
        return self._conditions

    def infer(self, src: Pixels, bgr: Pixels) -> Inference:
        """See `Runtime.infer`."""
        require_size(self._xml, self._size, src)
        feed = prepare_inputs(self._plain.inputs, src, bgr)
        probe = _read(self._probe, feed, (*OUTPUTS, *self._probes))
        outputs = probe
        if self._choice is not None:
            outputs = _read(self._choice, feed, (*OUTPUTS, *SELECTION_PROBES))
        if not self._proven:
            own = _read(self._plain, feed, OUTPUTS)
            if not _same(outputs, own) and self._choice is None and SELECTION in probe:
                self._choice = self._also(SELECTION_PROBES)
                outputs = _read(self._choice, feed, (*OUTPUTS, *SELECTION_PROBES))
            self._proven = _same(outputs, own)
            outputs = {**outputs, **own}
        inner = {name: outputs.get(name, probe[name]) for name in self._probes}
        return to_inference(outputs["pha"], outputs["fgr"], inner, exact=self._proven)


def _read(
    compiled: Any, feed: Mapping[str, npt.NDArray[Any]], names: Sequence[str]
) -> dict[str, Floats]:
    found = compiled(feed)
    return {name: np.array(found[name]) for name in names}


def _same(one: Mapping[str, Floats], other: Mapping[str, Floats]) -> bool:
    return all(have_same_bits(one[name], other[name]) for name in OUTPUTS)


def precision_config(hint: Hint) -> dict[str, str]:
    """Return the compile options for a hint; empty for the device's own choice."""
    return {"INFERENCE_PRECISION_HINT": "f32"} if hint == "f32" else {}


def get_precision(compiled: Any) -> str:
    """Return the precision that a compiled model computes in: "f32", "bf16" or "f16"."""
    kind = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    return _SHORT.get(kind, str(kind))


def prepare_inputs(ports: Sequence[Any], src: Pixels, bgr: Pixels) -> dict[str, npt.NDArray[Any]]:
    """Convert frame and plate to what the inputs of an IR expect.

    Args:
        ports: Inputs of the IR.
        src: The frame, H x W x 3 uint8 RGB.
        bgr: The clean plate, likewise.

    Returns:
        Arrays by input, BGR 0..255: uint8 1 x H x W x 3, or float32 1 x 3 x H x W.
    """
    kinds = {port.get_any_name(): _kind(port) for port in ports}
    return {
        name: np.ascontiguousarray(frame[None, ..., ::-1])
        if kinds[name] == "u8"
        else to_planes(frame[..., ::-1])
        for name, frame in (("src", src), ("bgr", bgr))
    }


def _kind(port: Any) -> str:
    return str(port.get_element_type().get_type_name())


def check_ports(model: Any, xml: Path) -> None:
    """Check the names, types and layouts of a model's inputs and outputs.

    Args:
        model: The model.
        xml: Its file, for the message.

    Raises:
        ValidationError: They differ from those that the toolchain writes.
    """
    found = [port.get_any_name() for port in (*model.inputs, *model.outputs)]
    kinds = [_kind(port) for port in (*model.inputs, *model.outputs)]
    channels = [] if model.is_dynamic() else [list(port.shape) for port in model.inputs]
    forms = [
        (["f32"] * 2, [shape[1:2] for shape in channels]),
        (["u8"] * 2, [shape[3:] for shape in channels]),
    ]
    if (
        found != ["src", "bgr", *OUTPUTS]
        or kinds[2:] != ["f32"] * 2
        or (kinds[:2], [[3], [3]]) not in forms
    ):
        raise ValidationError(
            f"{xml}: has inputs and outputs {found} of {kinds}, "
            "expected static src, bgr (f32 NCHW or u8 NHWC), pha, fgr (f32)",
            hint="Convert it again with this toolchain.",
        )


def _layer_precisions(compiled: Any) -> dict[str, int]:
    """Count the layers that compute by their precision, for example {"bf16": 92, "f32": 31}."""
    counts: Counter[str] = Counter()
    for node in compiled.get_runtime_model().get_ops():
        info = node.get_rt_info()
        if "runtimePrecision" in info and info["layerType"].astype(str) not in _STILL:
            counts[info["runtimePrecision"].astype(str)] += 1
    return dict(sorted(counts.items()))
