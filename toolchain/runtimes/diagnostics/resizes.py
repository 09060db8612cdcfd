"""Candidate cause: resizes with align_corners=True."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx

from toolchain.runtimes.diagnostics.experiment import Experiment, FailedVariant
from toolchain.runtimes.openvino_api import openvino

MODE = "coordinate_transformation_mode"
CENTRED = ("half_pixel", "pytorch_half_pixel")  # equals align_corners=False
CAUSE = "align_corners"


def build_experiments(suspect: FailedVariant) -> Iterator[Experiment]:
    """Yield the model with every such linear resize corrected in memory."""
    model: Any
    if suspect.is_onnx:
        model = onnx.load(suspect.file, load_external_data=False)
        wrong, repair = _wrong_in_onnx(model), _repair_onnx
    else:
        model = openvino.Core().read_model(suspect.file)
        wrong, repair = _wrong_in_ir(model), _repair_ir
    if not wrong:
        yield Experiment(CAUSE, "Every linear resize has half-pixel centres", None)
        return
    listed = ", ".join(f"{name} ({mode})" for name, mode in wrong.items())
    yield suspect.replaced(
        CAUSE,
        f"Set to half-pixel centres, as align_corners=False is: {listed}",
        lambda: suspect.edited(repair),
    )


def _wrong_in_onnx(model: Any) -> dict[str, str]:
    modes = {}
    for node in model.graph.node:
        attributes = {item.name: item.s.decode() for item in node.attribute if item.s}
        mode = attributes.get(MODE, CENTRED[0])
        if node.op_type == "Resize" and attributes.get("mode") == "linear" and mode not in CENTRED:
            modes[node.name] = mode
    return modes


def _repair_onnx(model: Any) -> None:
    wrong = _wrong_in_onnx(model)
    for node in model.graph.node:
        for item in node.attribute:
            if node.name in wrong and item.name == MODE:
                item.s = CENTRED[0].encode()


def _wrong_in_ir(model: Any) -> dict[str, str]:
    modes = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Interpolate":
            attributes = node.get_attributes()
            if attributes["mode"].startswith("linear") and attributes[MODE] not in CENTRED:
                modes[node.get_friendly_name()] = attributes[MODE]
    return modes


def _repair_ir(model: Any) -> None:
    wrong = _wrong_in_ir(model)
    for node in model.get_ordered_ops():
        if node.get_friendly_name() in wrong:
            node.set_attribute(MODE, CENTRED[0])
