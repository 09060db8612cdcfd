"""Other models are converted as Model Optimizer did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper

from toolchain.catalog.arguments import ConversionSettings
from toolchain.errors import ConversionError
from toolchain.stages.convert.convert import convert
from toolchain.stages.convert.request import ConvertRequest

NONE = ConversionSettings()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image, a pair of numbers and integers, each through nodes of its own."""
    ports = {
        "image": (TensorProto.FLOAT, [1, 3, 2, 2]),
        "pair": (TensorProto.FLOAT, [1, 2]),
        "integers": (TensorProto.INT64, [1, 4]),
    }
    inputs = [helper.make_tensor_value_info(name, *port) for name, port in ports.items()]
    nodes = [
        helper.make_node("Abs", [name], [f"{name}_abs"], name=f"{name}_node") for name in ports
    ]
    nodes += [helper.make_node("Neg", [f"{name}_abs"], [f"{name}_out"]) for name in ports]
    outputs = [helper.make_tensor_value_info(f"{name}_out", *port) for name, port in ports.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path = tmp_path_factory.mktemp("other") / "other.onnx"
    onnx.save(model, path)
    return path


def infer(source: Path, folder: Path, settings: ConversionSettings) -> dict[str, Any]:
    """Outputs by name for 1, 2, 3, ... as each input."""
    xml = folder / "other.xml"
    convert(ConvertRequest(source, xml, "FP32", settings, ()))
    compiled = openvino.Core().compile_model(xml, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    feed = {
        port.get_any_name(): np.arange(1, np.prod(port.shape) + 1)
        .reshape(port.shape)
        .astype(np.int64 if port.get_any_name() == "integers" else np.float32)
        for port in compiled.inputs
    }
    found = compiled(feed)
    return {name: np.array(found[port]) for port in compiled.outputs for name in port.get_names()}


def test_only_colours_are_reversed(source: Path, tmp_path: Path) -> None:
    """The channels of the image are reversed; the other inputs are not changed."""
    layouts = (("image", "NCHW"), ("pair", "NC"))
    settings = ConversionSettings(reverse_input_channels=True, layouts=layouts)
    found = infer(source, tmp_path, settings)
    assert found["image_out"][0, :, 0, 0].tolist() == [-9, -5, -1]
    assert found["pair_out"].tolist() == [[-1, -2]]
    assert found["integers_out"].tolist() == [[-1, -2, -3, -4]]


def test_a_layout_is_guessed_from_three_channels(source: Path, tmp_path: Path) -> None:
    """Without a layout, the one axis that can be three colours is the channel axis."""
    mean = (("image", (1.0, 2.0, 3.0)),)
    settings = ConversionSettings(reverse_input_channels=True, mean=mean)
    found = infer(source, tmp_path, settings)
    assert found["image_out"][0, :, 0, 0].tolist() == [-8, -3, -2]


def test_no_colours_to_reverse_is_an_error(source: Path, tmp_path: Path) -> None:
    """If no input has three channels, the message names the argument and the inputs."""
    layouts = (("image", "NHWC"),)
    with pytest.raises(ConversionError, match="--reverse_input_channels: no input has 3 channels"):
        infer(source, tmp_path, ConversionSettings(reverse_input_channels=True, layouts=layouts))
    assert not (tmp_path / "other.xml").exists()


@pytest.mark.parametrize("location", ["../../../etc/passwd", "nowhere.bin", "/etc/passwd"])
def test_weights_in_another_file_that_cannot_be_used_are_an_error(
    location: str, tmp_path: Path
) -> None:
    """A file that is missing, or outside of the folder, is refused with a message."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], [tensor])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ConversionError, match=r"m\.onnx: cannot"):
        convert(ConvertRequest(path, tmp_path / "m.xml", "FP32", NONE, ()))
    assert not (tmp_path / "m.xml").exists()


@pytest.mark.parametrize("name", ["image_abs", "image_node"])
def test_an_inner_tensor_can_be_made_an_output(name: str, source: Path, tmp_path: Path) -> None:
    """--output may name an inner tensor, or the node that outputs it."""
    found = infer(source, tmp_path, ConversionSettings(outputs=("pair_out", name)))
    assert list(found["pair_out"].ravel()) == [-1, -2]
    assert list(found["image_abs"].ravel()[:3]) == [1, 2, 3]


def test_every_kind_of_model_info_is_written(source: Path, tmp_path: Path) -> None:
    """Text, numbers, booleans and lists of model_info are in the rt_info of the IR."""
    info = (
        ("model_type", "ssd"),
        ("confidence_threshold", 0.5),
        ("masks", (0, 1, 2)),
        ("anchors", (1.5, 2.0)),
        ("labels", ("one", "two")),
        ("reverse", True),
    )
    xml = tmp_path / "other.xml"
    convert(ConvertRequest(source, xml, "FP32", NONE, (), info))
    model = openvino.Core().read_model(xml)
    found = [model.get_rt_info(["model_info", key]).value for key, _ in info]
    assert found == ["ssd", "0.5", "0 1 2", "1.5 2", "one two", "YES"]
