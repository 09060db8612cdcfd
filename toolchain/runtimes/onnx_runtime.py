"""The exported ONNX in ONNX Runtime: RGB 0..1 in."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from toolchain.errors import ValidationError
from toolchain.runtimes.base import (
    PROBES,
    Floats,
    Inference,
    Pixels,
    planes,
    same_bits,
    unpack,
)

OUTPUTS = ("pha", "fgr")


class OnnxRuntime:
    """The file as it is, and a copy in memory that also gives the inner tensors."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        self._plain = onnxruntime.InferenceSession(os.fspath(path), options, providers=providers)
        inputs = [(item.name, item.type) for item in self._plain.get_inputs()]
        outputs = [(item.name, item.type) for item in self._plain.get_outputs()]
        if inputs != [(name, "tensor(float)") for name in ("src", "bgr")] or outputs != [
            (name, "tensor(float)") for name in OUTPUTS
        ]:
            raise ValidationError(
                f"{path}: has inputs {inputs} and outputs {outputs}, "
                "expected float src, bgr and pha, fgr",
                hint="Export it again with this toolchain.",
            )
        model = onnx.load(path)
        known = {value.name for value in model.graph.value_info}
        for name in PROBES:
            if name in known:
                model.graph.output.append(onnx.ValueInfoProto(name=name))
        self._probe = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=providers
        )

    @property
    def executed(self) -> str:
        """The precision that the runtime computes in."""
        return "f32"

    def infer(self, src: Pixels, bgr: Pixels) -> Inference:
        """See `Runtime.infer`."""
        feed = {name: planes(frame) / 255 for name, frame in (("src", src), ("bgr", bgr))}
        pha, fgr = self._plain.run(list(OUTPUTS), feed)
        probe_pha, probe_fgr, ref = self._probe.run([*OUTPUTS, "ref_sm"], feed)
        exact = same_bits(pha, probe_pha) and same_bits(fgr, probe_fgr)
        return unpack(pha, fgr, _float(ref), exact=exact)


def _float(values: object) -> Floats:
    return np.asarray(values, dtype=np.float32)
