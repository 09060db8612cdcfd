"""The exported ONNX in ONNX Runtime: RGB 0..1 in."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from google.protobuf.message import DecodeError

from toolchain.definitions.arrays import Pixels
from toolchain.definitions.ports import OUTPUTS, PROBES
from toolchain.errors import ValidationError
from toolchain.runtimes.base import Inference, have_same_bits, require_size, to_inference, to_planes

_FLOATS = {
    onnx.TensorProto.FLOAT: "f32",
    onnx.TensorProto.FLOAT16: "f16",
    onnx.TensorProto.BFLOAT16: "bf16",
    onnx.TensorProto.DOUBLE: "f64",
}


class OnnxRuntime:
    """An ONNX file in ONNX Runtime, and a copy in memory that also returns the inner tensors.

    Args:
        path: The file.
        edit: Changes the graph in memory first.
        plain: Load no copy; `Inference.ref` is then true everywhere.
        threads: Number of threads, 0 for all.

    Raises:
        ValidationError: The file cannot be loaded, or has unexpected inputs or outputs.
    """

    def __init__(
        self,
        path: Path,
        edit: Callable[[onnx.ModelProto], None] | None = None,
        *,
        plain: bool = False,
        threads: int = 0,
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        try:
            model = onnx.load(path)
        except (OSError, ValueError, DecodeError) as error:
            raise ValidationError(
                f"{path}: not a readable ONNX file: {error}", hint="Export it again."
            ) from error
        source: str | bytes = os.fspath(path)
        if edit is not None:
            edit(model)
            source = model.SerializeToString()
        self._plain = _load(path, source, options, providers)
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
        self._path = path
        self._layers = count_layer_precisions(model)
        self._proven = plain
        self._names = list(OUTPUTS)
        self._probe = self._plain
        if plain:
            return
        made = {name for node in model.graph.node for name in node.output}
        self._names = [*OUTPUTS, *(name for name in PROBES if name in made)]
        for name in self._names[len(OUTPUTS) :]:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
        self._probe = _load(path, model.SerializeToString(), options, providers)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the model's frames."""
        _, _, height, width = self._plain.get_inputs()[0].shape
        return width, height

    @property
    def executed(self) -> str:
        """Precision that the runtime computes in: the lowest one in the file."""
        return "f16" if "f16" in self._layers else "f32"

    @property
    def conditions(self) -> Mapping[str, Any]:
        """See `Runtime.conditions`.  ONNX Runtime computes in the types of the file's tensors."""
        return {
            "runtime": "ONNX Runtime",
            "version": onnxruntime.__version__,
            "device": "CPU",
            "asked": "the file's own types",
            "executed": self.executed,
            "providers": self._plain.get_providers(),
            "layers": self._layers,
        }

    def infer(self, src: Pixels, bgr: Pixels) -> Inference:
        """See `Runtime.infer`."""
        require_size(self._path, self._plain.get_inputs()[0].shape, src)
        feed = {name: to_planes(frame) / 255 for name, frame in (("src", src), ("bgr", bgr))}
        probe = dict(
            zip(self._names, run_session(self._path, self._probe, self._names, feed), strict=True)
        )
        pha, fgr = probe["pha"], probe["fgr"]
        if not self._proven:
            pha, fgr = run_session(self._path, self._plain, OUTPUTS, feed)
            self._proven = have_same_bits(pha, probe["pha"]) and have_same_bits(fgr, probe["fgr"])
        inner = {name: probe[name] for name in self._names[len(OUTPUTS) :]}
        return to_inference(pha, fgr, inner, exact=self._proven)


def run_session(path: Path, session: Any, outputs: Sequence[str], feed: Mapping[str, Any]) -> Any:
    """Run a session of the file at `path`.

    Raises:
        ValidationError: The graph cannot be computed, for example for an index out of bounds.
    """
    try:
        return session.run(list(outputs), feed)
    except Exception as error:  # ONNX Runtime has no public base class of its errors
        raise _unusable(path, "run", error) from error


def _load(path: Path, source: str | bytes, options: Any, providers: list[str]) -> Any:
    try:
        return onnxruntime.InferenceSession(source, options, providers=providers)
    except Exception as error:  # see run_session
        raise _unusable(path, "load", error) from error


def _unusable(path: Path, action: str, error: Exception) -> ValidationError:
    first = str(error).strip().splitlines() or [type(error).__name__]
    return ValidationError(
        f"{path}: ONNX Runtime cannot {action} it: {first[0]}", hint="Export it again."
    )


def count_layer_precisions(model: onnx.ModelProto) -> dict[str, int]:
    """Count the nodes by the floating-point type of their output, for example {"f32": 142}."""
    typed = onnx.shape_inference.infer_shapes(model).graph
    kinds = {
        value.name: value.type.tensor_type.elem_type for value in (*typed.value_info, *typed.output)
    }
    found = (_FLOATS.get(kinds.get(node.output[0], 0)) for node in typed.node if node.output)
    return dict(sorted(Counter(kind for kind in found if kind).items()))
