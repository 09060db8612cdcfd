"""Inner tensors of the exported forms, read through additional outputs of the same graph."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
import onnxruntime

from toolchain.definitions.arrays import Array, Pixels
from toolchain.definitions.ports import OUTPUTS
from toolchain.definitions.variants import Hint
from toolchain.runtimes.base import require_size, to_planes
from toolchain.runtimes.openvino_api import openvino
from toolchain.runtimes.openvino_runtime import get_precision, precision_config, prepare_inputs


class Intermediates(Protocol):
    """A form of the model whose inner tensors can be read by their names in the ONNX."""

    @property
    def names(self) -> frozenset[str]:
        """Names of the tensors that this form has."""

    @property
    def executed(self) -> str:
        """Precision of the latest `read`."""

    def read(self, names: Collection[str], src: Pixels, bgr: Pixels) -> Mapping[str, Array]:
        """Run the model and read some inner tensors.

        Each call compiles the model again, because outputs cannot be added to a compiled model.
        More outputs allow less fusion and need more memory.

        Args:
            names: Names of the tensors.
            src: The frame, H x W x 3 uint8 RGB.
            bgr: The clean plate, likewise.

        Returns:
            The tensors by name, with pha and fgr always among them.
        """


class OnnxIntermediates:
    """The exported ONNX in ONNX Runtime."""

    def __init__(self, path: Path) -> None:
        self._path = path
        graph = onnx.load(path, load_external_data=False).graph
        self._names = frozenset(name for node in graph.node for name in node.output)
        self.executed = "f32"

    @property
    def names(self) -> frozenset[str]:
        """See `Intermediates.names`."""
        return self._names

    def read(self, names: Collection[str], src: Pixels, bgr: Pixels) -> Mapping[str, Array]:
        """See `Intermediates.read`."""
        wanted = [*OUTPUTS, *(name for name in names if name not in OUTPUTS)]
        model = onnx.load(self._path)
        for name in wanted[len(OUTPUTS) :]:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        require_size(self._path, session.get_inputs()[0].shape, src)
        feed = {name: to_planes(frame) / 255 for name, frame in (("src", src), ("bgr", bgr))}
        return dict(zip(wanted, session.run(wanted, feed), strict=True))


class IrIntermediates:
    """An IR in OpenVINO; its tensors keep the names of the ONNX."""

    def __init__(self, xml: Path, hint: Hint, device: str = "CPU") -> None:
        self._xml, self._hint, self._device = xml, hint, device
        self._core = openvino.Core()
        self.executed = ""
        self._names = frozenset(
            name
            for node in self._core.read_model(xml).get_ops()
            if node.get_type_name() != "Constant"
            for port in node.outputs()
            for name in port.names
        )

    @property
    def names(self) -> frozenset[str]:
        """See `Intermediates.names`."""
        return self._names

    def read(self, names: Collection[str], src: Pixels, bgr: Pixels) -> Mapping[str, Array]:
        """See `Intermediates.read`."""
        wanted = [name for name in names if name not in OUTPUTS]
        model = self._core.read_model(self._xml)
        model.add_outputs(wanted)
        compiled = self._core.compile_model(model, self._device, precision_config(self._hint))
        self.executed = get_precision(compiled)
        require_size(self._xml, list(compiled.input("src").shape), src)
        result = compiled(prepare_inputs(compiled.inputs, src, bgr))
        return {name: np.array(result[name]) for name in (*OUTPUTS, *wanted)}
