"""An IR in OpenVINO: BGR 0..255 in, float planes or a camera's bytes; fgr comes out RGB."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import openvino

from toolchain.errors import ValidationError
from toolchain.runtimes.base import PROBES, Inference, Pixels, planes, same_bits, unpack

Hint = Literal["f32", "default"]
OUTPUTS = ("pha", "fgr")
_SHORT = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


class OpenVinoRuntime:
    """The IR as it is, and a copy in memory that also gives the inner tensors.

    `hint`: "f32", or "default" for whatever the device takes when nobody says otherwise.
    Raises ValidationError if the IR has other inputs or outputs than promised, or can't be read.
    """

    def __init__(self, xml: Path, hint: Hint = "f32", device: str = "CPU") -> None:
        core = openvino.Core()
        config = {"INFERENCE_PRECISION_HINT": "f32"} if hint == "f32" else {}
        try:
            model = core.read_model(xml)
            _check(model, xml)
            self._plain = core.compile_model(model, device, config)
            probed = core.read_model(xml)
            made = {name for node in probed.get_ops() for o in node.outputs() for name in o.names}
            self._probes = [name for name in PROBES if name in made]
            probed.add_outputs(self._probes)
            self._probe = core.compile_model(probed, device, config)
        except RuntimeError as error:
            raise ValidationError(
                f"{xml}: OpenVINO can't run it on {device}: {str(error).strip().splitlines()[-1]}",
                hint="Convert it again; see `matting info` for the versions in use.",
            ) from error
        self._proven = False
        kind = self._plain.get_property("INFERENCE_PRECISION_HINT")
        self._executed = _SHORT.get(kind.to_string(), str(kind.to_string()))

    @property
    def executed(self) -> str:
        """The precision that the device computes in."""
        return self._executed

    def infer(self, src: Pixels, bgr: Pixels) -> Inference:
        """See `Runtime.infer`."""
        feed = fed(self._plain.inputs, src, bgr)
        probe = self._probe(feed)
        pha, fgr = (np.array(probe[name]) for name in OUTPUTS)
        ref = np.array(probe["ref_sm"]) if "ref_sm" in self._probes else None
        if not self._proven:
            plain = self._plain(feed)
            own = [np.array(plain[name]) for name in OUTPUTS]
            self._proven = same_bits(pha, own[0]) and same_bits(fgr, own[1])
            pha, fgr = own
        return unpack(pha, fgr, ref, exact=self._proven)


def fed(ports: Sequence[Any], src: Pixels, bgr: Pixels) -> dict[str, npt.NDArray[Any]]:
    """The frames (H x W x 3 uint8 RGB) as the input `ports` of an IR ask for them, BGR.

    uint8 1 x H x W x 3, or float32 1 x 3 x H x W, 0..255.
    """
    kinds = {port.get_any_name(): _kind(port) for port in ports}
    return {
        name: np.ascontiguousarray(frame[None, ..., ::-1])
        if kinds[name] == "u8"
        else planes(frame[..., ::-1])
        for name, frame in (("src", src), ("bgr", bgr))
    }


def _kind(port: Any) -> str:
    return str(port.get_element_type().get_type_name())


def _check(model: Any, xml: Path) -> None:
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
