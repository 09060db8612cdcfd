"""Checks of the selection of patches: the published rule on a model's own expected error.

The rule is deterministic: a model must select exactly the cells that the rule selects from the
model's own `err_sm`.  The rule is also tested with expected errors that are rare on real frames:
all zero, constant, saturated, equal at the threshold, fewer positive cells than patches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from toolchain.catalog.arguments import ExportSettings
from toolchain.definitions.arrays import Floats, Mask, Pixels
from toolchain.definitions.ports import CELL, OUTPUTS, SELECTION
from toolchain.network.refiner import Selection
from toolchain.network.resize import bilinear
from toolchain.runtimes.base import Inference, to_inference, to_planes
from toolchain.runtimes.onnx_runtime import run_session
from toolchain.runtimes.openvino_api import openvino, operators
from toolchain.runtimes.openvino_runtime import precision_config, prepare_inputs

ERR = "err_sm"
GIVEN = "given_err"
ULPS = 4  # largest change of a value by another order of summation
RunWithError = Callable[[Pixels, Pixels, Floats], Inference]


def apply_published_rule(err: Floats, settings: ExportSettings) -> tuple[Mask, Mask]:
    """Apply the published rule.

    Args:
        err: Expected error at the base network's size, 1 x 1 x h x w, 0..1.
        settings: Settings of the network.

    Returns:
        Two maps, H/4 x W/4: the cells that the rule refines, and the cells that depend on rounding
        because `err` is resized first (none if it already has this size).
    """
    size = (settings.height // CELL, settings.width // CELL)
    given = torch.from_numpy(np.ascontiguousarray(err, np.float32))
    rule = Selection(settings.mode, settings.sample_pixels, settings.threshold)
    cells = bilinear(given, size)
    chosen = rule.choose(cells)[0, 0].numpy() > 0
    if tuple(err.shape[2:]) == size:
        return chosen, np.zeros(size, np.bool_)
    values = cells[0, 0].numpy()
    cut = values[chosen].min() if chosen.any() else np.float32(0)
    if settings.mode == "thresholding":
        cut = np.float32(settings.threshold)
    reach = ULPS * np.spacing(np.maximum(np.abs(values), np.abs(cut)))
    return chosen, np.abs(values - cut) <= reach


def count_wrong_cells(found: Inference, settings: ExportSettings) -> int:
    """Count the cells where a model's selection differs from the rule on its own `err_sm`.

    A model without a selection (mode "full") has 0.
    """
    if ERR not in found.inner or SELECTION not in found.inner:
        return 0
    chosen, undecided = apply_published_rule(found.inner[ERR].astype(np.float32), settings)
    wrong: Mask = (found.ref != chosen) & ~undecided
    return int(wrong.sum())


def synthetic_errors(settings: ExportSettings, seed: int) -> Iterator[tuple[str, Floats]]:
    """Yield a name and an expected error, 1 x 1 x h x w, 0..1, for each special case."""
    shape = (
        1,
        1,
        int(settings.height * settings.backbone_scale),
        int(settings.width * settings.backbone_scale),
    )
    random = np.random.default_rng(seed)
    yield "all zero", np.zeros(shape, np.float32)
    few = np.zeros(shape, np.float32)
    few[random.random(shape) < 1 / 500] = 0.5
    few[..., [0, 0, -1, -1], [0, -1, 0, -1]] = (0.25, 0.5, 0.75, 1.0)
    yield "few above zero", few
    yield "constant", np.full(shape, 0.5, np.float32)
    yield "saturated", np.ones(shape, np.float32)
    steps = random.integers(0, 5, shape)  # every value many times: ties at any threshold
    yield "ties", (steps / 4).astype(np.float32)
    level = np.full(shape, 0.5, np.float32)  # a few above, the rest equal
    level[random.random(shape) < 1 / 500] = 0.75
    yield "few above many equal", level


def load_onnx_with_given_error(path: Path) -> RunWithError | None:
    """Load an ONNX whose expected error becomes an input; None if it selects nothing."""
    model = onnx.load(path)
    made = {name for node in model.graph.node for name in node.output}
    if not {ERR, SELECTION} <= made:
        return None
    for node in model.graph.node:
        node.input[:] = [GIVEN if name == ERR else name for name in node.input]
    shape = [1, 1, None, None]
    given = onnx.helper.make_tensor_value_info(GIVEN, onnx.TensorProto.FLOAT, shape)
    model.graph.input.append(given)
    model.graph.output.append(onnx.ValueInfoProto(name=SELECTION))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

    def run(src: Pixels, bgr: Pixels, err: Floats) -> Inference:
        feed = {name: to_planes(frame) / 255 for name, frame in (("src", src), ("bgr", bgr))}
        found = run_session(path, session, (*OUTPUTS, SELECTION), {**feed, GIVEN: err})
        pha, fgr, ref = found
        return to_inference(pha, fgr, {SELECTION: ref})

    return run


def load_ir_with_given_error(
    xml: Path, device: str = "CPU", edit: Callable[[Any], None] | None = None
) -> RunWithError | None:
    """Load an IR at f32 whose expected error becomes an input; None if it selects nothing.

    Args:
        xml: The IR.
        device: Device by OpenVINO's name.
        edit: Changes the graph in memory first.
    """
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # so that the file can be replaced
    model = core.read_model(xml)
    if edit is not None:
        edit(model)
    ports = {
        name: port
        for node in model.get_ordered_ops()
        for port in node.outputs()
        for name in port.get_names()
    }
    if not {ERR, SELECTION} <= ports.keys():
        return None
    own = ports[ERR]
    given = operators.parameter(own.get_shape(), own.get_element_type(), name=GIVEN)
    given.output(0).set_names({GIVEN})
    for user in own.get_target_inputs():
        user.replace_source_output(given.output(0))
    inputs = list(model.inputs)
    model.add_outputs([SELECTION])
    results = model.get_results()
    changed = openvino.Model(results, [*model.get_parameters(), given])
    compiled = core.compile_model(changed, device, precision_config("f32"))

    def run(src: Pixels, bgr: Pixels, err: Floats) -> Inference:
        result = compiled({**prepare_inputs(inputs, src, bgr), GIVEN: err})
        found: Mapping[str, Floats] = {
            name: np.array(result[name]) for name in (*OUTPUTS, SELECTION)
        }
        return to_inference(found["pha"], found["fgr"], {SELECTION: found[SELECTION]})

    return run
