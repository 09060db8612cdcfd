"""The exported ONNX in ONNX Runtime: RGB 0..1 in."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import onnxruntime

from toolchain.errors import ValidationError
from toolchain.runtimes.base import (
    PROBES,
    Inference,
    Pixels,
    planes,
    same_bits,
    unpack,
)

OUTPUTS = ("pha", "fgr")


class OnnxRuntime:
    """The file as it is, and a copy in memory that also gives the inner tensors.

    `plain`: without that copy; `Inference.ref` is then true everywhere.  `threads`: 0 for all.
    """

    def __init__(self, path: Path, *, plain: bool = False, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
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
        self._proven = plain
        self._names = list(OUTPUTS)
        self._probe = self._plain
        if plain:
            return
        model = onnx.load(path)
        made = {name for node in model.graph.node for name in node.output}
        self._names = [*OUTPUTS, *(name for name in PROBES if name in made)]
        for name in self._names[len(OUTPUTS) :]:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
        self._probe = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=providers
        )

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the model's frames."""
        _, _, height, width = self._plain.get_inputs()[0].shape
        return width, height

    @property
    def executed(self) -> str:
        """The precision that the runtime computes in."""
        return "f32"

    def infer(self, src: Pixels, bgr: Pixels) -> Inference:
        """See `Runtime.infer`."""
        feed = {name: planes(frame) / 255 for name, frame in (("src", src), ("bgr", bgr))}
        probe = dict(zip(self._names, self._probe.run(self._names, feed), strict=True))
        pha, fgr = probe["pha"], probe["fgr"]
        if not self._proven:
            pha, fgr = self._plain.run(list(OUTPUTS), feed)
            self._proven = same_bits(pha, probe["pha"]) and same_bits(fgr, probe["fgr"])
        return unpack(pha, fgr, probe.get("ref_sm"), exact=self._proven)
