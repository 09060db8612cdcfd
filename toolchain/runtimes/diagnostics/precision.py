"""Is it the precision: the device's own (bf16), or FP16 that can't hold or can't tell a value?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from toolchain.definitions.arrays import Array
from toolchain.network.checkpoint import load_state_dict
from toolchain.network.folding import folded
from toolchain.runtimes.diagnostics.experiment import Experiment, Suspect
from toolchain.runtimes.openvino_api import openvino
from toolchain.runtimes.openvino_runtime import OpenVinoRuntime

LARGEST = float(np.finfo(np.float16).max)  # 65504
ALIKE = 0.01  # a rounded weight lies within this share of the original's largest
OVERFLOW, ROUNDING = "FP16 overflow", "FP16 rounding"


def experiments(suspect: Suspect) -> Iterator[Experiment]:
    """The device's precision first, then that of the file."""
    executed = suspect.runtime.executed
    if suspect.is_onnx:
        yield from _onnx_in_half(suspect)
        return
    if executed == "f32":
        yield Experiment("bf16 default", "It was computed in f32 already", None)
    else:
        yield suspect.in_place(
            f"{executed} default",
            f"Left to itself the device computes in {executed}; run in f32 instead",
            lambda: OpenVinoRuntime(suspect.file, "f32", suspect.device),
        )
    yield from _ir_in_half(suspect)


def _exact(suspect: Suspect) -> dict[str, Array]:
    """The network's weights and biases, BatchNorm folded, by their names in the ONNX."""
    weights = {}
    for name, layer in folded(load_state_dict(suspect.checkpoint)).items():
        weights[f"{name}.weight"] = layer.weight.float().numpy()
        weights[f"{name}.bias"] = layer.bias.float().numpy()
    return weights


def _ir_in_half(suspect: Suspect) -> Iterator[Experiment]:
    halves = _halves(openvino.Core().read_model(suspect.file))
    if not halves:
        yield Experiment(OVERFLOW, "The file holds no FP16", None)
        return
    known = _recognised(halves, _exact(suspect))
    beyond = {
        name: exact for name, (source, exact) in known.items() if np.abs(exact).max() > LARGEST
    }
    if beyond:
        values = sum(int((np.abs(exact) > LARGEST).sum()) for exact in beyond.values())
        sources = ", ".join(known[name][0] for name in beyond)
        yield suspect.in_place(
            OVERFLOW,
            f"{values} weights beyond FP16's largest, 65504, given back their values: {sources}",
            lambda: suspect.edited(lambda model: _restore(model, beyond)),
        )
    else:
        largest = max((float(np.abs(exact).max()) for _, exact in known.values()), default=0.0)
        yield Experiment(
            OVERFLOW,
            f"No weight is beyond FP16's largest, 65504; the largest is {largest:.3g}",
            None,
        )
    every = {name: exact for name, (_, exact) in known.items()}
    yield suspect.in_place(
        ROUNDING,
        f"{len(every)} of {len(halves)} FP16 constants given back their float32 values",
        lambda: suspect.edited(lambda model: _restore(model, every)),
    )


def _halves(model: Any) -> dict[str, Array]:
    return {
        node.get_friendly_name(): np.array(node.data)
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Constant" and node.get_element_type().get_type_name() == "f16"
    }


def _recognised(halves: dict[str, Array], exact: dict[str, Array]) -> dict[str, tuple[str, Array]]:
    """Constant -> name and values of the weight that it was, found by value: OpenVINO numbers and
    reshapes what it takes apart, so that names alone do not tell."""
    known = {}
    left = dict(exact)
    for name, half in halves.items():
        values = half.astype(np.float32).ravel()
        best, chosen = np.inf, ""
        for source, weight in left.items():
            if weight.size == values.size:
                clipped = np.clip(weight.ravel(), -LARGEST, LARGEST)
                share = np.abs(values - clipped).max() / max(np.abs(clipped).max(), 1e-30)
                if share < best:
                    best, chosen = share, source
        if best < ALIKE:
            known[name] = chosen, left.pop(chosen).reshape(half.shape)
    return known


def _restore(model: Any, exact: dict[str, Array]) -> None:
    """Put float32 constants in the place of FP16 ones and the conversions behind them."""
    from toolchain.runtimes.openvino_api import operators

    for node in model.get_ordered_ops():
        if node.get_type_name() != "Constant" or node.get_friendly_name() not in exact:
            continue
        value = operators.constant(np.ascontiguousarray(exact[node.get_friendly_name()]))
        for port in node.output(0).get_target_inputs():
            for target in port.get_node().output(0).get_target_inputs():
                target.replace_source_output(value.output(0))


def _onnx_in_half(suspect: Suspect) -> Iterator[Experiment]:
    model = onnx.load(suspect.file)
    if not any(item.data_type == onnx.TensorProto.FLOAT16 for item in model.graph.initializer) and (
        suspect.runtime.executed != "f16"
    ):
        yield Experiment(OVERFLOW, "The file holds no FP16", None)
        return
    exact = _exact(suspect)
    where, largest = suspect.original.largest_activation(suspect.frame.src, suspect.frame.bgr)
    heaviest = max(exact, key=lambda name: float(np.abs(exact[name]).max()))
    weight = float(np.abs(exact[heaviest]).max())
    facts = (
        f"the original's values reach {largest:.3g} ({where}), its weights {weight:.3g} "
        f"({heaviest}); FP16 holds 65504"
    )
    yield suspect.in_place(
        OVERFLOW if max(largest, weight) > LARGEST else ROUNDING,
        f"All FP16 in the file made float32 again; {facts}",
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
