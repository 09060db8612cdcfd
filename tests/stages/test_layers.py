"""Layers: the place where a form leaves the original is named, read in batches or by bisection."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import openvino
import pytest

from tests.support.builds import SETTINGS, WHOLE, broken_onnx, build_small, node, perturb
from toolchain.definitions.variants import Variant
from toolchain.runtimes import intermediates
from toolchain.runtimes.graph import read_graph
from toolchain.stages.convert.convert import convert
from toolchain.stages.convert.request import ConvertRequest
from toolchain.stages.layers.layers import compare_layers
from toolchain.stages.layers.request import LayersMode, LayersRequest

HELPERS = {
    "Div",
    "Floor",
    "And",
    "Equal",
    "MatMul",
    "LessOrEqual",
    "Not",
    "Or",
}  # PyTorch has other steps in their place
BOTH: tuple[LayersMode, ...] = ("all", "bisect")


@pytest.fixture(scope="module")
def built(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> LayersRequest:
    """A good build at a small size."""
    build = build_small(checkpoint, tmp_path_factory.mktemp("built"))
    return LayersRequest(
        name=build.name,
        checkpoint=build.checkpoint,
        onnx=build.onnx,
        irs=build.irs,
        settings=build.settings,
        tolerances=build.tolerances,
        target=build.target.with_name("layers.json"),
    )


def forms(request: LayersRequest) -> dict[tuple[str, str], dict[str, Any]]:
    compare_layers(request)
    found = json.loads(request.target.read_text())
    return {(form["form"], form["hint"]): form for form in found["variants"]}


def test_a_good_build_is_compared_to_the_last_tensor_and_passes(built: LayersRequest) -> None:
    """All five forms, every operator of the export, none over its limit.

    In the IRs frames are still BGR 0..255 where they are shrunk and cut up.
    """
    result = compare_layers(built)
    assert result.first == {}
    found = json.loads(built.target.read_text())
    assert found["verdict"] == "pass"
    graph = {tensor.name: tensor for tensor in read_graph(built.onnx)}
    assert found["matched"] + len(found["not_matched"]) == len(graph) > 200
    assert {graph[name].operator for name in found["not_matched"]} <= HELPERS
    assert max(found["from_published"].values()) < 2e-5
    assert [(form["form"], form["hint"]) for form in found["variants"]] == [
        ("ONNX", "f32"),
        ("FP32", "f32"),
        ("FP32", "default"),
        ("FP16", "f32"),
        ("FP16", "default"),
    ]
    for form in found["variants"]:
        lacking = form["not_in_this_variant"]
        assert len(form["tensors"]) + len(lacking) == found["matched"]
        scopes = {graph[name].node.partition("/")[0] for name in lacking}
        before = {"shrunk", "halved", "refiner", "frame"}  # reversal and scaling, that is
        assert scopes == (set() if form["form"] == "ONNX" else before)
        assert len(lacking) < 30
    exact = found["variants"][1]
    assert exact["executed"] == "f32"
    assert 0 < max(row["relative"] for row in exact["tensors"] if not row["chosen"]) < 2e-5


def dilate(model: Any) -> None:
    """ASPP's second branch with the third one's rate; the shape stays."""
    for attribute in node(model, "aspp.convs.1.0/Conv").attribute:
        if attribute.name in ("dilations", "pads"):
            attribute.ints[:] = [6] * len(attribute.ints)


def align(model: Any) -> None:
    """A resize of the decoder with its corners aligned."""
    for attribute in node(model, "decoder/Resize_3").attribute:
        if attribute.name == "coordinate_transformation_mode":
            attribute.s = b"align_corners"


FAULTS = {
    "weight in the backbone": (
        perturb("backbone.features.4.conv.1.0.weight", 1.02),
        "backbone.features.4.conv.1.0/Conv",
        ["backbone.features.4.conv.0.2/Clip"],
    ),
    "weight in the refiner": (
        perturb("refiner.conv4.weight", 1.02),
        "refiner.conv4/Conv",
        ["refiner/Relu_3"],
    ),
    "bias in the decoder": (
        perturb("decoder.conv2.bias", 1.1),
        "decoder.conv2/Conv",
        ["decoder/Concat_2"],
    ),
    "dilation": (dilate, "aspp.convs.1.0/Conv", ["backbone.features.17.conv.2/Conv"]),
    "resize": (align, "decoder/Resize_3", ["decoder.relu/Relu_2"]),
}


@pytest.mark.parametrize("how", BOTH)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_operator_and_its_inputs_errors(
    fault: str, how: LayersMode, built: LayersRequest, tmp_path: Path
) -> None:
    """One weight perturbed or one attribute wrong: that node, while its inputs are good."""
    change, place, inputs = FAULTS[fault]
    bad = broken_onnx(built.onnx, tmp_path / "bad.onnx", change)
    request = replace(built, onnx=bad, irs=(), mode=how, target=tmp_path / "layers.json")
    result = compare_layers(request)
    assert not result.passed
    assert place in result.first[Variant("ONNX")]
    form = forms(request)["ONNX", "f32"]
    first = form["first"]
    assert first["node"] == place
    assert first["operator"] == place.rpartition("/")[2].partition("_")[0]
    assert first["relative"] > form["limit"]
    assert [row["node"] for row in first["inputs"]] == inputs
    for row in first["inputs"]:
        assert row["relative"] <= form["limit"]
    if how == "bisect":
        assert len(form["tensors"]) <= 20  # of more than 150


@pytest.mark.parametrize("how", BOTH)
def test_the_whole_frame_form_is_compared_as_well(
    how: LayersMode, checkpoint: Path, tmp_path: Path
) -> None:
    """Where patches are too many for a mosaic the other form is matched without a gap."""
    build = build_small(checkpoint, tmp_path, WHOLE)
    bad = broken_onnx(build.onnx, tmp_path / "bad.onnx", perturb("refiner.conv3.weight", 1.02))
    request = LayersRequest(
        name="m",
        checkpoint=checkpoint,
        onnx=bad,
        irs=build.irs[:1],
        settings=build.settings,
        tolerances=build.tolerances,
        target=tmp_path / "layers.json",
        mode=how,
    )
    found = forms(request)
    assert json.loads(request.target.read_text())["not_matched"] == []
    assert found["ONNX", "f32"]["first"]["node"] == "refiner.conv3/Conv"
    assert found["FP32", "f32"]["first"] is None
    assert found["FP32", "default"]["first"] is None


@pytest.mark.parametrize("how", BOTH)
def test_a_fault_of_the_ir_alone_is_named_there_and_nowhere_else(
    how: LayersMode, built: LayersRequest, tmp_path: Path
) -> None:
    """The ONNX passes; the IR that was made from a spoilt copy is named with the operator."""
    bad = broken_onnx(built.onnx, tmp_path / "bad.onnx", dilate)
    xml = tmp_path / "m.xml"
    convert(ConvertRequest(bad, xml, "FP32", SETTINGS, ()))
    request = replace(built, irs=(("FP32", xml),), mode=how, target=tmp_path / "layers.json")
    found = forms(request)
    assert found["ONNX", "f32"]["first"] is None
    # At bf16 this fault drowns before it reaches the outputs, where a bisection begins.
    for hint in ("f32", "default") if how == "all" else ("f32",):
        first = found["FP32", hint]["first"]
        assert (first["node"], first["operator"]) == ("aspp.convs.1.0/Conv", "Conv")


def test_wrong_preprocessing_is_named_at_the_graph_s_head(
    built: LayersRequest, tmp_path: Path
) -> None:
    """The first tensor is over its limit, made from nothing but what is fed."""
    xml = tmp_path / "m.xml"
    settings = replace(SETTINGS, reverse_input_channels=False)
    convert(ConvertRequest(built.onnx, xml, "FP32", settings, ()))
    request = replace(built, irs=(("FP32", xml),), target=tmp_path / "layers.json")
    sentence = compare_layers(request).first[Variant("FP32")]
    assert "computed by shrunk/Reshape" in sentence
    assert "src an input" in sentence


def test_nan_is_over_any_limit(built: LayersRequest, tmp_path: Path) -> None:
    """NaN is reported at the operator that first computes it."""
    bad = broken_onnx(
        built.onnx, tmp_path / "bad.onnx", perturb("decoder.conv3.weight", float("nan"))
    )
    request = replace(built, onnx=bad, irs=(), target=tmp_path / "layers.json")
    sentence = compare_layers(request).first[Variant("ONNX")]
    assert "decoder.conv3/Conv (Conv); it contains NaN or infinite values" in sentence


def test_batches_hold_no_more_than_asked_for_and_change_nothing(
    built: LayersRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read in one go or in many, the figures are the same; every batch keeps to the memory."""
    sizes = {tensor.name: tensor.size for tensor in read_graph(built.onnx)}
    memory = max(sizes.values())
    held: list[int] = []
    read = intermediates.OnnxIntermediates.read

    def counting(self: Any, names: Any, src: Any, bgr: Any) -> Any:
        held.append(sum(sizes.get(name, 0) for name in names))  # places of top-k are not compared
        return read(self, names, src, bgr)

    monkeypatch.setattr(intermediates.OnnxIntermediates, "read", counting)
    request = replace(built, irs=(), target=tmp_path / "layers.json")
    at_once = forms(request)["ONNX", "f32"]["tensors"]
    assert max(held) > memory
    held.clear()
    in_parts = forms(replace(request, memory=memory))["ONNX", "f32"]["tensors"]
    assert max(held) <= memory
    assert len(held) > 3
    assert [row["tensor"] for row in in_parts] == [row["tensor"] for row in at_once]
    for one, other in zip(at_once, in_parts, strict=True):
        assert other["relative"] == pytest.approx(one["relative"], abs=2e-6)


def test_tensors_that_a_form_lacks_are_listed(built: LayersRequest, tmp_path: Path) -> None:
    """An IR whose tensor lost its name is compared in all others, and the one is listed."""
    usual = forms(replace(built, target=tmp_path / "usual.json"))["FP32", "f32"]
    core = openvino.Core()
    model = core.read_model(dict(built.irs)["FP32"])
    tensor = next(
        port.get_tensor()
        for item in model.get_ops()
        for port in item.outputs()
        if "relu_7" in port.names
    )
    tensor.set_names({"renamed"})
    xml = tmp_path / "m.xml"
    openvino.save_model(model, xml, compress_to_fp16=False)
    request = replace(built, irs=(("FP32", xml),), target=tmp_path / "layers.json")
    form = forms(request)["FP32", "f32"]
    assert set(form["not_in_this_variant"]) == {*usual["not_in_this_variant"], "relu_7"}
    assert form["first"] is None


def test_without_a_limit_all_is_measured_and_nothing_is_over(
    built: LayersRequest, tmp_path: Path
) -> None:
    """A model.yml that sets no layers_max_rel gets figures."""
    change: Callable[[Any], None] = perturb("decoder.conv2.weight", 3.0)
    bad = broken_onnx(built.onnx, tmp_path / "bad.onnx", change)
    request = replace(built, onnx=bad, irs=(), tolerances=(), target=tmp_path / "layers.json")
    form = forms(request)["ONNX", "f32"]
    assert form["limit"] is None
    assert form["first"] is None
    assert max(row["relative"] for row in form["tensors"]) > 0.1
