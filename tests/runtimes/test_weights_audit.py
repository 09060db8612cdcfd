"""Audit: a single wrong constant is found in each kind of layer, and correct files pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from openvino import opset8

from tests.support.builds import (
    SETTINGS,
    SIZE,
    WHOLE,
    broken_ir,
    broken_onnx,
    constants,
    node,
    perturb,
    replace_constant,
    scale_one,
)
from tests.support.weights import save_checkpoint
from toolchain.catalog.arguments import ConversionSettings, ExportSettings
from toolchain.definitions.architecture import MOBILENETV2
from toolchain.runtimes.weights_audit import ExpectedWeights, _difference, audit_ir, audit_onnx
from toolchain.stages.convert.convert import convert
from toolchain.stages.convert.request import ConvertRequest, Float32Constants, InputFormat
from toolchain.stages.export.export import export
from toolchain.stages.export.request import ExportRequest
from toolchain.stages.validate.request import ValidateRequest

KINDS = (
    "backbone.features.0.0.weight",  # reads frames, plain
    "backbone.features.0.0.bias",
    "backbone.features.5.conv.1.0.weight",  # depthwise
    "backbone.features.9.conv.2.weight",  # 1x1
    "aspp.convs.2.0.weight",  # dilated
    "aspp.convs.4.1.weight",  # of the pooled branch
    "aspp.project.0.bias",
    "decoder.conv1.weight",
    "decoder.conv4.first.weight",
    "decoder.conv4.first.bias",
    "decoder.conv4.others.weight",
    "decoder.conv4.others.bias",
    "refiner.conv1.frames.weight",
    "refiner.conv1.frames.bias",
    "refiner.conv1.hidden.even.weight",
    "refiner.conv1.hidden.odd.weight",
    "refiner.conv1.hidden.ends.weight",
    "refiner.conv1.hidden.sides.weight",
    "refiner.conv1.hidden.border",  # a matrix
    "refiner.conv2.weight",
    "refiner.conv3_half.weight",
    "refiner.conv3_full.weight",
    "refiner.conv3_full.bias",
    "refiner.conv4.weight",
    "refiner.conv4.bias",
    "shrunk.weight",  # resizes
    "halved.weight",
    "enlarged.across",
    "enlarged.down",
)
PRECISIONS = ("FP32", "FP16")


@pytest.fixture(scope="module")
def expected(checkpoint: Path) -> ExpectedWeights:
    return ExpectedWeights(checkpoint)


def write_ir(
    source: Path,
    target: Path,
    precision: str,
    settings: ConversionSettings = SETTINGS,
    input_format: InputFormat = "f32-nchw",
) -> Path:
    convert(
        ConvertRequest(
            source,
            target,
            precision,
            settings,
            (),
            float32_constants=Float32Constants.from_architecture(MOBILENETV2),
            input_format=input_format,
            moves_preprocessing=True,
        )
    )
    return target


def faults_in(path: Path, expected: ExpectedWeights) -> list[str]:
    return audit_onnx(path, expected) if path.suffix == ".onnx" else audit_ir(path, expected).faults


def initializer(model: Any, name: str) -> Any:
    return next(item for item in model.graph.initializer if item.name == name)


def change_in_onnx(name: str, change: Callable[[Any], Any]) -> Callable[[Any], None]:
    def edit(model: Any) -> None:
        item = initializer(model, name)
        values = np.ascontiguousarray(change(numpy_helper.to_array(item)))
        item.CopyFrom(numpy_helper.from_array(values, name))

    return edit


def find_in_ir(model: Any, name: str) -> Any:
    """The constant of an IR by its name in the ONNX: by its own, or by the layer that reads it."""
    by_name = [item for item in constants(model) if name in item.get_friendly_name()]
    if by_name:
        return by_name[0]
    scope, _, kind = name.rpartition(".")
    (addition,) = (
        item
        for item in model.get_ordered_ops()
        if item.get_type_name() == "Add" and item.get_friendly_name().startswith(f"{scope}/Conv")
    )
    layer = addition if kind == "bias" else addition.input_value(0).get_node()
    found = layer.input_value(1).get_node()
    while found.get_type_name() in ("Convert", "Reshape"):
        found = found.input_value(0).get_node()
    return found


@pytest.mark.parametrize("name", KINDS)
def test_one_wrong_constant_is_found_in_an_onnx(
    name: str, small_build: ValidateRequest, expected: ExpectedWeights, tmp_path: Path
) -> None:
    """One value scaled by 1.001 is the only fault, and the layer is named."""
    bad = broken_onnx(small_build.onnx, tmp_path / "m.onnx", change_in_onnx(name, scale_one))
    (fault,) = faults_in(bad, expected)
    assert fault.startswith(f"{name}: 1 of ")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", KINDS)
def test_one_wrong_constant_is_found_in_an_ir(
    name: str,
    precision: str,
    small_build: ValidateRequest,
    expected: ExpectedWeights,
    tmp_path: Path,
) -> None:
    """Also where it is a half, moved with preprocessing, or grouped by channels."""

    def edit(model: Any) -> None:
        item = find_in_ir(model, name)
        replace_constant(item, scale_one(item.data))

    bad = broken_ir(dict(small_build.irs)[precision], tmp_path / "m.xml", edit)
    (fault,) = faults_in(bad, expected)
    assert fault.startswith(f"{name}: 1 of ")


def test_every_constant_of_an_onnx_is_audited(
    small_build: ValidateRequest, expected: ExpectedWeights, tmp_path: Path
) -> None:
    """With one wrong value in each, each is listed."""
    names = []

    def edit(model: Any) -> None:
        for item in model.graph.initializer:
            if item.data_type == onnx.TensorProto.FLOAT and item.dims:
                names.append(item.name)
                values = np.ascontiguousarray(scale_one(numpy_helper.to_array(item)))
                item.CopyFrom(numpy_helper.from_array(values, item.name))

    bad = broken_onnx(small_build.onnx, tmp_path / "m.onnx", edit)
    assert set(KINDS) <= set(names)
    assert {fault.partition(":")[0] for fault in faults_in(bad, expected)} == set(names)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_constant_of_an_ir_is_audited(
    precision: str, small_build: ValidateRequest, expected: ExpectedWeights, tmp_path: Path
) -> None:
    """All but the factors of preprocessing, which are in no checkpoint."""
    changed = []

    def edit(model: Any) -> None:
        for item in constants(model):
            users = [port.get_node().get_type_name() for port in item.output(0).get_target_inputs()]
            if users != ["Multiply"]:
                changed.append(item)
                replace_constant(item, scale_one(item.data))

    bad = broken_ir(dict(small_build.irs)[precision], tmp_path / "m.xml", edit)
    found = {fault.partition(":")[0] for fault in faults_in(bad, expected)}
    assert set(KINDS) <= found
    assert len(found) == len(changed)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_weights_in_the_wrong_order_are_found(
    precision: str, small_build: ValidateRequest, expected: ExpectedWeights, tmp_path: Path
) -> None:
    """A transposed 1x1 convolution, and frames whose channels are exchanged."""

    def transpose(values: Any) -> Any:
        outputs, inputs = values.shape[:2]
        return values.reshape(inputs, outputs).T.reshape(values.shape)

    for name, change in (
        ("aspp.project.0.weight", transpose),
        ("backbone.features.0.0.weight", lambda values: values[:, [3, 4, 5, 0, 1, 2]]),
    ):

        def edit(model: Any, name: str = name, change: Any = change) -> None:
            item = find_in_ir(model, name)
            replace_constant(item, change(np.array(item.data)))

        bad = broken_ir(dict(small_build.irs)[precision], tmp_path / "m.xml", edit)
        (fault,) = faults_in(bad, expected)
        assert fault.startswith(f"{name}: ")


def test_a_half_that_is_rounded_the_wrong_way_is_found(
    small_build: ValidateRequest, expected: ExpectedWeights, tmp_path: Path
) -> None:
    """One unit of its last place."""

    def edit(model: Any) -> None:
        item = find_in_ir(model, "decoder.conv1.weight")
        values = np.array(item.data)
        values.reshape(-1)[7] = np.nextafter(values.reshape(-1)[7], np.float16(0))
        replace_constant(item, values)

    bad = broken_ir(dict(small_build.irs)["FP16"], tmp_path / "m.xml", edit)
    (fault,) = faults_in(bad, expected)
    assert fault.startswith("decoder.conv1.weight: 1 of ")


@pytest.mark.parametrize("rounded", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_only_sums_may_differ_in_the_last_bit_of_float32(dtype: Any, rounded: bool) -> None:
    """Which is not the last bit of a half."""
    exact = np.linspace(0.1, 1.9, 7)
    good = exact.astype(np.float32).astype(dtype)
    assert list(_difference("sum", good, [exact], rounded)) == []
    changed = np.nextafter(good, dtype(0))
    faults = list(_difference("sum", changed, [exact], rounded))
    assert bool(faults) == (dtype is np.float16 or not rounded)
    assert list(_difference("sum", np.nextafter(changed, dtype(0)), [exact], rounded)) != []


def test_halves_are_the_roundings_of_the_float32_values(
    small_build: ValidateRequest, expected: ExpectedWeights
) -> None:
    """The values to restore are known for each, and an FP32 IR has none."""
    halves = {}
    audit = audit_ir(dict(small_build.irs)["FP16"], expected)

    def collect(model: Any) -> None:
        for item in constants(model):
            if item.get_element_type().get_type_name() == "f16":
                halves[item.get_friendly_name()] = np.array(item.data)

    broken_ir(dict(small_build.irs)["FP16"], small_build.target.with_name("same.xml"), collect)
    assert set(audit.float32_values) == set(halves)
    for name, values in audit.float32_values.items():
        half = values.astype(np.float16).reshape(halves[name].shape)
        assert np.array_equal(half, halves[name]), name
    assert audit_ir(dict(small_build.irs)["FP32"], expected).float32_values == {}


def test_a_graph_of_other_layers_is_found(
    small_build: ValidateRequest, expected: ExpectedWeights, tmp_path: Path
) -> None:
    """A layer too much, one too few, a lost bias, a wrong bound of ReLU6."""

    def rename(model: Any) -> None:
        node(model, "decoder.conv2/Conv").name = "decoder.conv5/Conv"

    def lose_bias(model: Any) -> None:
        del node(model, "decoder.conv1/Conv").input[2]

    def widen(model: Any) -> None:
        for item in model.graph.initializer:
            if not item.dims and numpy_helper.to_array(item) == np.float32(6):
                item.CopyFrom(numpy_helper.from_array(np.float32(7), item.name))

    expectations = {
        rename: [
            "decoder.conv2: the checkpoint's convolution is not in the graph",
            "decoder.conv5: a convolution that the network does not have",
        ],
        lose_bias: ["decoder.conv1.bias: not found in the graph"],
    }
    for change, faults in expectations.items():
        assert faults_in(broken_onnx(small_build.onnx, tmp_path / "m.onnx", change), expected) == (
            faults
        )
    wide = faults_in(broken_onnx(small_build.onnx, tmp_path / "m.onnx", widen), expected)
    assert len(wide) == 34
    assert all("expected a clamp to 0..6 after it, found bounds [0.0, 7.0]" in one for one in wide)


def test_weights_of_another_checkpoint_are_found_in_every_layer(
    small_build: ValidateRequest, tmp_path: Path
) -> None:
    """Weights and biases; fixed weights of resizes are the same for every checkpoint."""
    other = ExpectedWeights(save_checkpoint(tmp_path / "other.pth", seed=5))
    for path in (small_build.onnx, *(xml for _, xml in small_build.irs)):
        found = {fault.partition(":")[0] for fault in faults_in(path, other)}
        assert len(found) == 137
        assert not {name.partition(".")[0] for name in found} & {"halved", "shrunk", "enlarged"}


OTHER_SETTINGS = {
    "thresholding": replace(SIZE, mode="thresholding"),
    "full": replace(SIZE, mode="full"),
    "whole frame": WHOLE,
    "half scale": replace(SIZE, backbone_scale=0.5),
    "odd scale": replace(SIZE, backbone_scale=0.375),
    "another size": ExportSettings(256, 128, sample_pixels=4_000),
}


@pytest.mark.parametrize("settings", OTHER_SETTINGS.values(), ids=OTHER_SETTINGS)
def test_correct_files_of_every_kind_pass(
    settings: ExportSettings, checkpoint: Path, expected: ExpectedWeights, tmp_path: Path
) -> None:
    """Refine modes, scales and sizes have other graphs, of the same weights."""
    path = tmp_path / "m.onnx"
    export(ExportRequest(checkpoint, path, settings, ()))
    assert faults_in(path, expected) == []
    shape = (1, 3, settings.height, settings.width)
    conversion = replace(SETTINGS, shapes=(("src", shape), ("bgr", shape)))
    xml = write_ir(path, tmp_path / "m.xml", "FP16", conversion)
    assert faults_in(xml, expected) == []
    bad = broken_onnx(path, tmp_path / "bad.onnx", perturb("refiner.conv2.weight", 1.001))
    assert len(faults_in(bad, expected)) == 1


PREPROCESSING: dict[str, tuple[tuple[float, ...], ConversionSettings]] = {
    "none": ((1.0,), replace(SETTINGS, scale=(), reverse_input_channels=False)),
    "no reversal": ((255.0,), replace(SETTINGS, reverse_input_channels=False)),
    "by channel": (
        (58.395, 57.12, 57.375),
        replace(SETTINGS, scale=tuple((name, (58.395, 57.12, 57.375)) for name in ("src", "bgr"))),
    ),
}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("scale", "settings"), PREPROCESSING.values(), ids=PREPROCESSING)
def test_correct_preprocessing_of_every_kind_passes(
    scale: tuple[float, ...],
    settings: ConversionSettings,
    precision: str,
    small_build: ValidateRequest,
    expected: ExpectedWeights,
    tmp_path: Path,
) -> None:
    """Scale and order of channels may be folded into weights that read frames."""
    xml = write_ir(small_build.onnx, tmp_path / "m.xml", precision, settings)
    assert audit_ir(xml, expected, scale).faults == []


@pytest.mark.parametrize("precision", PRECISIONS)
def test_correct_irs_for_bytes_pass(
    precision: str, small_build: ValidateRequest, expected: ExpectedWeights, tmp_path: Path
) -> None:
    """So do those as a build converts them, and the ONNX."""
    xml = write_ir(small_build.onnx, tmp_path / "m.xml", precision, input_format="u8-nhwc")
    for path in (xml, dict(small_build.irs)[precision], small_build.onnx):
        assert faults_in(path, expected) == []


def test_a_reader_of_the_shape_hides_no_layer(
    small_build: ValidateRequest, expected: ExpectedWeights, tmp_path: Path
) -> None:
    """OpenVINO 2024.6 adds one to each convolution with a bias; the bias is still audited."""

    def read_shapes(model: Any) -> None:
        found = [
            opset8.shape_of(item.output(0))
            for item in model.get_ordered_ops()
            if item.get_type_name() in ("Convolution", "GroupConvolution")
        ]
        model.add_outputs([item.output(0) for item in found])

    source = dict(small_build.irs)["FP32"]
    assert faults_in(broken_ir(source, tmp_path / "a.xml", read_shapes), expected) == []

    def break_bias(model: Any) -> None:
        read_shapes(model)
        item = find_in_ir(model, "aspp.project.0.bias")
        replace_constant(item, scale_one(item.data))

    (fault,) = faults_in(broken_ir(source, tmp_path / "b.xml", break_bias), expected)
    assert fault.startswith("aspp.project.0.bias: 1 of ")
