"""Candidate causes in the precision: the device's default (bf16), or float16 weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from toolchain.checkpoints.load import load_state_dict
from toolchain.definitions.arrays import Array
from toolchain.definitions.variants import INT8
from toolchain.network.folding import fold_state_dict
from toolchain.runtimes.diagnostics.experiment import Experiment, FailedVariant
from toolchain.runtimes.openvino_runtime import OpenVinoRuntime
from toolchain.runtimes.weights_audit import ExpectedWeights, audit_ir, restore_float32

LARGEST = float(np.finfo(np.float16).max)  # 65504
OVERFLOW, ROUNDING = "FP16 overflow", "FP16 rounding"


def build_experiments(suspect: FailedVariant) -> Iterator[Experiment]:
    """Yield the device's precision first, then that of the file."""
    executed = suspect.runtime.executed
    if suspect.is_onnx:
        yield from _onnx_in_half(suspect)
        return
    if executed == "f32":
        yield Experiment("bf16 default", "It was already computed in f32", None)
    else:
        yield suspect.replaced(
            f"{executed} default",
            f"The device computes in {executed} by default; run in f32 instead",
            lambda: OpenVinoRuntime(suspect.file, "f32", suspect.variant.device),
        )
    yield from _ir_in_half(suspect)


def _exact(suspect: FailedVariant) -> dict[str, Array]:
    """The network's weights and biases, BatchNorm folded, by their names in the ONNX."""
    weights = {}
    for name, layer in fold_state_dict(load_state_dict(suspect.checkpoint)).items():
        weights[f"{name}.weight"] = layer.weight.float().numpy()
        weights[f"{name}.bias"] = layer.bias.float().numpy()
    return weights


def _ir_in_half(suspect: FailedVariant) -> Iterator[Experiment]:
    values = audit_ir(suspect.file, ExpectedWeights(suspect.checkpoint)).float32_values
    if not values or suspect.variant.form == INT8:
        yield Experiment(OVERFLOW, "The file has no float16 weights", None)
        return
    beyond = {name: exact for name, exact in values.items() if np.abs(exact).max() > LARGEST}
    if beyond:
        count = sum(int((np.abs(exact) > LARGEST).sum()) for exact in beyond.values())
        yield suspect.replaced(
            OVERFLOW,
            f"{count} weights beyond float16's largest value, 65504, replaced by their float32 "
            f"values: {', '.join(beyond)}",
            lambda: suspect.edited(restore_float32(beyond)),
        )
    else:
        largest = max(float(np.abs(exact).max()) for exact in values.values())
        yield Experiment(
            OVERFLOW,
            f"No weight is beyond float16's largest value, 65504; the largest is {largest:.3g}",
            None,
        )
    yield suspect.replaced(
        ROUNDING,
        f"{len(values)} float16 constants replaced by their float32 values",
        lambda: suspect.edited(restore_float32(values)),
    )


def _onnx_in_half(suspect: FailedVariant) -> Iterator[Experiment]:
    model = onnx.load(suspect.file)
    if not any(item.data_type == onnx.TensorProto.FLOAT16 for item in model.graph.initializer) and (
        suspect.runtime.executed != "f16"
    ):
        yield Experiment(OVERFLOW, "The file has no float16 values", None)
        return
    exact = _exact(suspect)
    where, largest = suspect.original.largest_activation(suspect.frame.src, suspect.frame.bgr)
    heaviest = max(exact, key=lambda name: float(np.abs(exact[name]).max()))
    weight = float(np.abs(exact[heaviest]).max())
    facts = (
        f"the original's values reach {largest:.3g} ({where}), its weights {weight:.3g} "
        f"({heaviest}); float16 reaches 65504"
    )
    yield suspect.replaced(
        OVERFLOW if max(largest, weight) > LARGEST else ROUNDING,
        f"All float16 values in the file made float32; {facts}",
        lambda: suspect.edited(lambda model: _to_float(model, exact)),
    )


def _to_float(model: Any, exact: dict[str, Array]) -> None:
    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    for item in model.graph.initializer:
        if item.data_type == half:
            values = numpy_helper.to_array(item)
            known = exact.get(item.name)
            if known is not None and known.size == values.size:
                values = known.reshape(values.shape)
            item.CopyFrom(numpy_helper.from_array(values.astype(np.float32), item.name))
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == half:
                attribute.i = single
            if attribute.HasField("t") and attribute.t.data_type == half:
                values = numpy_helper.to_array(attribute.t).astype(np.float32)
                attribute.t.CopyFrom(numpy_helper.from_array(values))
    del model.graph.value_info[:]
