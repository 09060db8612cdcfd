"""Diagnostics of a fail: each cause is found in a model with exactly that fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
import pytest
import torch
from onnx import helper, numpy_helper
from openvino import opset8

from tests.support.builds import SETTINGS, SIZE, WHOLE, broken_onnx, build_small, node
from tests.support.weights import plausible_state
from toolchain.catalog.arguments import ExportSettings
from toolchain.catalog.records import Limits, Tolerance, limits_for
from toolchain.definitions.variants import Variant
from toolchain.stages.convert.convert import convert
from toolchain.stages.convert.request import ConvertRequest
from toolchain.stages.validate.request import ValidateRequest
from toolchain.stages.validate.validate import validate

EDGE = 1e6  # a feature map this much larger than usual is beyond FP16


@pytest.fixture(scope="module")
def built(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> ValidateRequest:
    """A good build at a small size, judged on one frame."""
    return replace(build_small(checkpoint, tmp_path_factory.mktemp("built")), composites=1)


def explained(request: ValidateRequest, form: str, hint: str = "f32") -> list[dict[str, Any]]:
    assert validate(request).verdict == "fail"
    verdict = json.loads(request.target.read_text())
    run = next(run for run in verdict["runs"] if (run["form"], run["hint"]) == (form, hint))
    assert run["verdict"] == "fail"
    rows: list[dict[str, Any]] = run["explanations"]
    return rows


def convinced(rows: list[dict[str, Any]]) -> list[str]:
    """What convinces; each such row shows that the outputs came together."""
    for row in rows:
        if row["convinces"]:
            assert row["before"] is None or row["after"] <= row["before"] / 10
    names = [row["hypothesis"] for row in rows if row["convinces"]]
    assert names == [row["hypothesis"] for row in rows[: len(names)]]  # best first
    return names


def as_ir(built: ValidateRequest, folder: Path, **changes: Any) -> ValidateRequest:
    """The good ONNX converted with other settings."""
    xml = folder / "m.xml"
    convert(ConvertRequest(built.onnx, xml, "FP32", replace(SETTINGS, **changes), ()))
    return replace(built, irs=(("FP32", xml),), target=folder / "v.json")


def as_onnx(built: ValidateRequest, folder: Path, change: Callable[[Any], None]) -> ValidateRequest:
    """The good ONNX with its graph changed."""
    bad = broken_onnx(built.onnx, folder / "bad.onnx", change)
    return replace(built, onnx=bad, irs=(), target=folder / "v.json")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"reverse_input_channels": False}, "swapped channels"),
        ({"scale": ()}, "missing /255"),
        ({"scale": (("src", (65025.0,)), ("bgr", (65025.0,)))}, "a second /255"),
        ({"reverse_input_channels": False, "scale": ()}, "swapped channels, missing /255"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_input_format_is_recognised(
    changes: dict[str, Any], name: str, built: ValidateRequest, tmp_path: Path
) -> None:
    """At f32 and at the device's default alike, the one that was forgotten is named."""
    request = as_ir(built, tmp_path, **changes)
    for hint in ("f32", "default"):
        assert convinced(explained(request, "FP32", hint)) == [name]


def test_exchanged_frames_are_recognised(built: ValidateRequest, tmp_path: Path) -> None:
    """An ONNX with frame and plate exchanged is distinguished from wrong channels."""

    def exchange(model: Any) -> None:
        names = {"src": "bgr", "bgr": "src"}
        for item in model.graph.node:
            item.input[:] = [names.get(name, name) for name in item.input]

    rows = explained(as_onnx(built, tmp_path, exchange), "ONNX")
    assert convinced(rows) == ["src and bgr exchanged"]


def test_a_foreground_of_bgr_is_recognised(built: ValidateRequest, tmp_path: Path) -> None:
    """Reversed output channels are not taken for reversed input channels."""

    def reverse(model: Any) -> None:
        last = next(item for item in model.graph.node if "fgr" in item.output)
        last.output[0] = "rgb"
        order = numpy_helper.from_array(np.array([2, 1, 0]), "order")
        model.graph.initializer.append(order)
        model.graph.node.append(helper.make_node("Gather", ["rgb", "order"], ["fgr"], axis=1))

    rows = explained(as_onnx(built, tmp_path, reverse), "ONNX")
    assert convinced(rows) == ["swapped output channels"]


def align(model: Any) -> None:
    for name in ("decoder/Resize_2", "decoder/Resize_4"):
        mode = next(
            a for a in node(model, name).attribute if a.name == "coordinate_transformation_mode"
        )
        mode.s = b"align_corners"


def test_align_corners_is_recognised_and_its_resizes_are_named(
    built: ValidateRequest, tmp_path: Path
) -> None:
    """In the ONNX and in the IR made from it, just the wrong resizes are set right."""
    request = as_onnx(built, tmp_path, align)
    xml = tmp_path / "m.xml"
    convert(ConvertRequest(request.onnx, xml, "FP32", SETTINGS, ()))
    request = replace(request, irs=(("FP32", xml),))
    for form in ("ONNX", "FP32"):
        rows = explained(request, form)
        assert convinced(rows) == ["align_corners"]
        assert "decoder/Resize_2 (align_corners), decoder/Resize_4" in rows[0]["found"]


SHIFTS = [
    ([2, 2, 4, 4], 2, "(+1, +1) half-size and (+2, +2)"),
    ([3, 3, 3, 3], 1, "(+0, +0) half-size and (+1, +1)"),
    ([3, 4, 3, 2], 0, "(+0, -1) half-size and (+0, +0)"),
]


@pytest.mark.parametrize(("half", "full", "message"), SHIFTS, ids=["both", "full", "half"])
@pytest.mark.parametrize("settings", [SIZE, WHOLE], ids=["mosaic", "whole frame"])
def test_shifted_patches_are_recognised_with_their_shift(
    settings: ExportSettings,
    half: list[int],
    full: int,
    message: str,
    checkpoint: Path,
    tmp_path: Path,
) -> None:
    """Windows with an offset, at half size, at full size or both, are found and reported."""

    def move(model: Any) -> None:
        if settings is SIZE:  # conv1's results moved; positions of pixels in a tile, both ways
            move_results(model, "refiner/Relu", [3 - half[0], 3 - half[1]])
            for name in ("refiner/Add_4", "refiner/Add_5"):
                constant = initializer(model, node(model, name).input[1])
                moved = numpy_helper.to_array(constant) + np.int32(full)
                constant.CopyFrom(numpy_helper.from_array(moved, constant.name))
        else:
            pads = next(a for a in node(model, "refiner.conv1/Conv").attribute if a.name == "pads")
            pads.ints[:] = half
            constant = initializer(model, node(model, "frame/Pad").input[1])
            moved = np.array([0, 0, 2 - full, 2 - full, 0, 0, 2 + full, 2 + full])
            constant.CopyFrom(numpy_helper.from_array(moved, constant.name))

    build = replace(build_small(checkpoint, tmp_path, settings), composites=1)
    rows = explained(as_onnx(build, tmp_path, move), "ONNX")
    assert convinced(rows) == ["shifted patch"]
    assert message in rows[0]["found"]


def move_results(model: Any, name: str, by: list[int]) -> None:
    """What that node gives, cut with an offset of `by` pixels (down, right).

    Outside the border are the results for zeros.
    """
    (given,) = node(model, name).output
    pads = np.array([0, 0, *(-step for step in by), 0, 0, *by], np.int64)
    model.graph.initializer.append(numpy_helper.from_array(pads, "moved_by"))
    place = list(model.graph.node).index(node(model, name)) + 1
    for reader in model.graph.node:
        reader.input[:] = ["moved" if item == given else item for item in reader.input]
    made = helper.make_node("Pad", [given, "moved_by"], ["moved"], "moved", mode="edge")
    model.graph.node.insert(place, made)


def initializer(model: Any, name: str) -> Any:
    return next(item for item in model.graph.initializer if item.name == name)


def beyond_half(checkpoint: Path, scale: float) -> Path:
    """The same function, with the decoder's first feature map `scale` times as large."""
    state = plausible_state()
    for key in ("decoder.bn1.weight", "decoder.bn1.bias"):
        state[key] = state[key] * scale
    state["decoder.conv2.weight"][:, :128] /= scale
    torch.save(state, checkpoint)
    return checkpoint


def saturated(source: Path, target: Path, name: str) -> Path:
    """An IR with one weight squeezed into FP16, as converters do that clip what does not fit.

    OpenVINO's own `save_model` leaves such a weight in float32.
    """
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})
    model = core.read_model(source)
    for item in model.get_ordered_ops():
        if item.get_friendly_name() == name:
            half = opset8.constant(np.clip(item.data, -65504, 65504).astype(np.float16))
            half.set_friendly_name(f"{name}_compressed")  # as OpenVINO names them
            whole = opset8.convert(half, "f32")
            for port in item.output(0).get_target_inputs():
                port.replace_source_output(whole.output(0))
    openvino.save_model(model, target, compress_to_fp16=False)
    return target


def test_weights_beyond_fp16_are_recognised(tmp_path: Path) -> None:
    """An FP16 IR with weights out of range is distinguished from one that only rounds."""
    build = build_small(beyond_half(tmp_path / "large.pth", 3 * EDGE), tmp_path)
    xml = saturated(dict(build.irs)["FP32"], tmp_path / "half.xml", "decoder.conv1.weight")
    rows = explained(replace(build, composites=1, irs=(("FP16", xml),)), "FP16")
    assert "FP16 overflow" in convinced(rows)
    overflow = next(row for row in rows if row["hypothesis"] == "FP16 overflow")
    assert "decoder.conv1.weight" in overflow["found"]


def in_half(names: tuple[str, str]) -> Callable[[Any], None]:
    """Convolution and activation `names` computed in FP16, as mixed-precision converters do."""

    def change(model: Any) -> None:
        first, last = (node(model, name) for name in names)
        data, weight, bias = first.input
        for name in (weight, bias):
            item = next(item for item in model.graph.initializer if item.name == name)
            values = np.clip(numpy_helper.to_array(item), -65504, 65504)
            item.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name))
        made = last.output[0]
        half = helper.make_node("Cast", [data], ["half"], "to_half", to=onnx.TensorProto.FLOAT16)
        whole = helper.make_node("Cast", ["made"], [made], "to_float", to=onnx.TensorProto.FLOAT)
        nodes = list(model.graph.node)
        first.input[0], last.output[0] = "half", "made"
        nodes = list(model.graph.node)
        place = nodes.index(last)
        del model.graph.node[:]
        before = [item for item in nodes[: place + 1] if item is not first]
        model.graph.node.extend([*before[:-1], half, first, last, whole, *nodes[place + 1 :]])
        del model.graph.value_info[:]

    return change


def test_activations_beyond_fp16_are_recognised(tmp_path: Path) -> None:
    """Arithmetic in FP16 that runs over is named with the value that did not fit."""
    folder = tmp_path / "built"
    folder.mkdir()
    build = build_small(beyond_half(tmp_path / "large.pth", EDGE), folder)
    change = in_half(("decoder.conv1/Conv", "decoder.relu/Relu"))
    rows = explained(as_onnx(replace(build, composites=1), tmp_path, change), "ONNX")
    assert convinced(rows) == ["FP16 overflow"]
    assert "decoder.bn1" in rows[0]["found"] or "decoder.relu" in rows[0]["found"]


def test_fp16_that_only_rounds_is_no_overflow(built: ValidateRequest, tmp_path: Path) -> None:
    """The same arithmetic on values that fit is over the limit of f32, and called rounding."""
    change = in_half(("decoder.conv1/Conv", "decoder.relu/Relu"))
    assert convinced(explained(as_onnx(built, tmp_path, change), "ONNX")) == ["FP16 rounding"]


def exact_limits(built: ValidateRequest) -> Limits:
    limits = limits_for(built.tolerances, Variant("FP32"))
    assert limits is not None
    return limits


def test_a_device_s_own_precision_is_recognised(built: ValidateRequest, tmp_path: Path) -> None:
    """Under the limits of f32 the default of a bf16 device fails, and that is what it is."""
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bf16")
    strict = Tolerance(Variant("FP32", "default"), exact_limits(built))
    request = replace(
        built,
        tolerances=(strict, *(t for t in built.tolerances if t.variant != strict.variant)),
        irs=built.irs[:1],
        target=tmp_path / "v.json",
    )
    rows = explained(request, "FP32", "default")
    assert convinced(rows) == ["bf16 default"]


def test_what_nothing_explains_is_not_explained(built: ValidateRequest, tmp_path: Path) -> None:
    """One wrong layer is not a fault of formats: no cause convinces, and all are listed."""

    def spoil(model: Any) -> None:
        name = "backbone.features.4.conv.1.0.weight"
        item = next(item for item in model.graph.initializer if item.name == name)
        item.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(item) * np.float32(1.5), name))

    rows = explained(as_onnx(built, tmp_path, spoil), "ONNX")
    assert convinced(rows) == []
    tested = {row["hypothesis"] for row in rows}
    assert {
        "FP16 overflow",
        "swapped channels",
        "missing /255",
        "align_corners",
        "shifted patch",
    } <= tested
