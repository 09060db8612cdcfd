"""An IR in OpenVINO: BGR 0..255 in, as a camera gives frames; fgr comes out RGB."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
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
            check_ports(model, xml)
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
        self._executed = precision_of(self._plain)

    @property
    def executed(self) -> str:
        """The precision that the device computes in."""
        return self._executed

    def infer(self, src: Pixels, bgr: Pixels) -> Inference:
        """See `Runtime.infer`."""
        feed = {name: planes(frame[..., ::-1]) for name, frame in (("src", src), ("bgr", bgr))}
        probe = self._probe(feed)
        pha, fgr = (np.array(probe[name]) for name in OUTPUTS)
        ref = np.array(probe["ref_sm"]) if "ref_sm" in self._probes else None
        if not self._proven:
            plain = self._plain(feed)
            own = [np.array(plain[name]) for name in OUTPUTS]
            self._proven = same_bits(pha, own[0]) and same_bits(fgr, own[1])
            pha, fgr = own
        return unpack(pha, fgr, ref, exact=self._proven)


def precision_of(compiled: Any) -> str:
    """The precision that a compiled model computes in: "f32", "bf16", "f16"."""
    kind = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    return _SHORT.get(kind, str(kind))


def check_ports(model: Any, xml: Path) -> None:
    """Raise ValidationError unless `model` has the promised inputs and outputs."""
    found = [port.get_any_name() for port in (*model.inputs, *model.outputs)]
    kinds = {port.get_element_type().get_type_name() for port in (*model.inputs, *model.outputs)}
    if found != ["src", "bgr", *OUTPUTS] or kinds != {"f32"} or model.is_dynamic():
        raise ValidationError(
            f"{xml}: has inputs and outputs {found} of {sorted(kinds)}, "
            "expected static f32 src, bgr, pha, fgr",
            hint="Convert it again with this toolchain.",
        )
