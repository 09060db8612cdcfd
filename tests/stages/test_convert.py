"""The IR takes BGR 0..255 and computes what the ONNX computes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import torch

from tests.support.weights import make_frames
from toolchain.catalog.arguments import ConversionSettings, ExportSettings
from toolchain.definitions.architecture import MOBILENETV2
from toolchain.errors import ConversionError, WorkspaceError
from toolchain.network.refiner import select_highest
from toolchain.stages.convert.convert import convert
from toolchain.stages.convert.request import ConvertRequest, Float32Constants
from toolchain.stages.export.export import export
from toolchain.stages.export.request import ExportRequest

SHAPE = (1, 3, 192, 320)
SETTINGS = ConversionSettings(
    inputs=("src", "bgr"),
    outputs=("pha", "fgr"),
    scale=(("src", (255.0,)), ("bgr", (255.0,))),
    reverse_input_channels=True,
    layouts=(("src", "NCHW"), ("bgr", "NCHW")),
    shapes=(("src", SHAPE), ("bgr", SHAPE)),
)
FLOAT32 = Float32Constants.from_architecture(MOBILENETV2)
FACTS = (("model", "m"), ("input_colour_order", "BGR"))


@pytest.fixture(scope="module")
def onnx_file(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export(ExportRequest(checkpoint, path, ExportSettings(320, 192), ()))
    return path


def converted(onnx_file: Path, folder: Path, **changes: Any) -> Path:
    xml = folder / "model.xml"
    request: dict[str, Any] = {
        "onnx": onnx_file,
        "xml": xml,
        "precision": "FP32",
        "settings": SETTINGS,
        "facts": FACTS,
    }
    result = convert(ConvertRequest(**(request | changes)))
    assert result.xml_size == xml.stat().st_size
    assert result.bin_size == xml.with_suffix(".bin").stat().st_size
    return xml


def run(xml: Path, feed: dict[str, Any]) -> list[np.ndarray[Any, Any]]:
    core = openvino.Core()
    model = core.compile_model(xml, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    outputs = model(feed)
    return [np.array(outputs[name]) for name in ("pha", "fgr")]


def test_bgr_0_to_255_gives_the_results_of_rgb_0_to_1(onnx_file: Path, tmp_path: Path) -> None:
    """The IR reverses channels and divides by 255 on both inputs; fgr stays RGB."""
    xml = converted(onnx_file, tmp_path)
    src, bgr = (frame.numpy() for frame in make_frames(2, 320, 192))
    session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    expected = session.run(["pha", "fgr"], {"src": src, "bgr": bgr})
    found = run(xml, {"src": src[:, ::-1] * 255, "bgr": bgr[:, ::-1] * 255})
    for one, other in zip(expected, found, strict=True):
        worst = np.abs(one - other)[0].max(0).reshape(48, 4, 80, 4).max((1, 3))
        assert (worst > 2e-5).mean() <= 0.001
    swapped = run(xml, {"src": src * 255, "bgr": bgr[:, ::-1] * 255})
    assert np.abs(swapped[0] - found[0]).max() > 0.01


@pytest.mark.parametrize("precision", ["FP32", "FP16"])
def test_uint8_pixels_give_the_same_matte(precision: str, onnx_file: Path, tmp_path: Path) -> None:
    """uint8 NHWC inputs give the results of float planes of the same pixels, bit for bit."""
    planes = converted(
        onnx_file, tmp_path / "planes", precision=precision, float32_constants=FLOAT32
    )
    pixels = converted(
        onnx_file,
        tmp_path / "pixels",
        precision=precision,
        float32_constants=FLOAT32,
        input_format="u8-nhwc",
    )
    model = openvino.Core().read_model(pixels)
    assert [
        (port.get_any_name(), port.get_element_type().get_type_name(), tuple(port.shape))
        for port in (*model.inputs, *model.outputs)
    ] == [
        ("src", "u8", (1, 192, 320, 3)),
        ("bgr", "u8", (1, 192, 320, 3)),
        ("pha", "f32", (1, 1, 192, 320)),
        ("fgr", "f32", SHAPE),
    ]
    frames = {
        name: np.rint(frame.numpy()[:, ::-1] * 255).astype(np.uint8)
        for name, frame in zip(("src", "bgr"), make_frames(3, 320, 192), strict=True)
    }
    expected = run(planes, {name: frame.astype(np.float32) for name, frame in frames.items()})
    found = run(
        pixels,
        {name: np.ascontiguousarray(frame.transpose(0, 2, 3, 1)) for name, frame in frames.items()},
    )
    for one, other in zip(expected, found, strict=True):
        assert np.array_equal(one, other)


def test_ports_are_static_named_and_in_order(onnx_file: Path, tmp_path: Path) -> None:
    """Ports are src, bgr, pha, fgr, without a dynamic dimension."""
    model = openvino.Core().read_model(converted(onnx_file, tmp_path))
    ports = [(port.get_any_name(), tuple(port.shape)) for port in (*model.inputs, *model.outputs)]
    assert ports == [
        ("src", SHAPE),
        ("bgr", SHAPE),
        ("pha", (1, 1, 192, 320)),
        ("fgr", SHAPE),
    ]
    assert not model.is_dynamic()


def test_a_graph_with_dynamic_inner_shapes_is_converted(tmp_path: Path) -> None:
    """Inner shapes may depend on the frame, as in other exports of this network."""
    ports = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(SHAPE))
        for name in ("src", "bgr", "fgr")
    ]
    count = onnx.helper.make_tensor_value_info("pha", onnx.TensorProto.INT64, [4, 1])
    nodes = [
        onnx.helper.make_node("Sub", ["src", "bgr"], ["fgr"]),
        onnx.helper.make_node("NonZero", ["fgr"], ["where"]),
        onnx.helper.make_node("ReduceSum", ["where", "axes"], ["pha"]),
    ]
    axes = onnx.helper.make_tensor("axes", onnx.TensorProto.INT64, [1], [1])
    graph = onnx.helper.make_graph(nodes, "dynamic", ports[:2], [count, ports[2]], [axes])
    opset = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset), tmp_path / "dynamic.onnx")
    xml = converted(tmp_path / "dynamic.onnx", tmp_path / "ir")
    model = openvino.Core().read_model(xml)
    assert model.is_dynamic()
    assert [port.get_any_name() for port in model.outputs] == ["pha", "fgr"]


class Highest(torch.nn.Module):
    """The selection of cells, as the exported graph has it."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return select_highest(values, self.count)


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # of torch's own exporter
@pytest.mark.parametrize("levels", [1, 2, 4, 1000])
@pytest.mark.parametrize(("cells", "count"), [(3840, 300), (57_600, 14_400)])
def test_of_equal_values_the_first_are_selected(
    tmp_path: Path, cells: int, count: int, levels: int
) -> None:
    """Ties go to the lowest index in ONNX Runtime and OpenVINO, however many there are."""
    path = tmp_path / "ties.onnx"
    program = torch.onnx.export(
        Highest(count).eval(),
        (torch.zeros(cells),),
        dynamo=True,
        verbose=False,
        input_names=["values"],
    )
    assert program is not None
    program.save(path)
    xml = converted(path, tmp_path / "ir", settings=ConversionSettings())
    values = np.random.default_rng(levels).integers(0, levels, cells).astype(np.float32)
    expected = np.sort(np.argsort(-values, kind="stable")[:count]).tolist()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert session.run(None, {"values": values})[0].tolist() == expected
    found = openvino.Core().compile_model(xml, "CPU")({"values": values})
    assert found[0].tolist() == expected


def test_rt_info_has_the_facts(onnx_file: Path, tmp_path: Path) -> None:
    """Facts and model_info of model.yml can be read from the xml."""
    xml = converted(onnx_file, tmp_path, model_info=(("model_type", "matting"), ("labels", "a b")))
    model = openvino.Core().read_model(xml)
    assert model.get_rt_info(["matting", "input_colour_order"]).astype(str) == "BGR"
    assert model.get_rt_info(["model_info", "model_type"]).astype(str) == "matting"


def test_fp16_halves_the_weights_and_float32_constants_reduce_its_error(
    onnx_file: Path, tmp_path: Path
) -> None:
    """With the last layers in float32, FP16 is 4 % larger and several times more accurate."""
    folders = [tmp_path / name for name in ("full", "rounded", "mixed")]
    full = converted(onnx_file, folders[0])
    rounded = converted(onnx_file, folders[1], precision="FP16")
    mixed = converted(onnx_file, folders[2], precision="FP16", float32_constants=FLOAT32)
    sizes = [xml.with_suffix(".bin").stat().st_size for xml in (full, rounded, mixed)]
    assert sizes[1] < 0.51 * sizes[0]
    assert sizes[2] < 1.05 * sizes[1]
    src, bgr = (frame.numpy()[:, ::-1] * 255 for frame in make_frames(6, 320, 192))
    exact, coarse, fine = (run(xml, {"src": src, "bgr": bgr})[0] for xml in (full, rounded, mixed))
    assert np.abs(fine - exact).mean() < 0.2 * np.abs(coarse - exact).mean()


@pytest.mark.parametrize(
    ("precision", "constants"),
    [("FP32", Float32Constants()), ("FP16", Float32Constants()), ("FP16", FLOAT32)],
)
def test_same_onnx_same_bytes_in_another_process(
    precision: str, constants: Float32Constants, onnx_file: Path, tmp_path: Path
) -> None:
    """xml and bin do not depend on the process, the folder, or earlier conversions."""
    here = converted(onnx_file, tmp_path / "here", precision=precision, float32_constants=constants)
    there = tmp_path / "there" / "model.xml"
    code = (
        "import sys; from pathlib import Path;"
        "from toolchain.catalog.arguments import ConversionSettings;"
        "from toolchain.stages.convert.convert import convert;"
        "from toolchain.stages.convert.request import ConvertRequest, Float32Constants;"
        f"convert(ConvertRequest(Path(sys.argv[1]), Path(sys.argv[2]), {precision!r},"
        f"{SETTINGS!r}, {FACTS!r}, (), {constants!r}))"
    )
    subprocess.run([sys.executable, "-c", code, str(onnx_file), str(there)], check=True)
    for suffix in (".xml", ".bin"):
        assert here.with_suffix(suffix).read_bytes() == there.with_suffix(suffix).read_bytes()


def test_mean_and_scale_per_channel_apply_after_the_reversal(
    onnx_file: Path, tmp_path: Path
) -> None:
    """(x - mean) / scale, in the channel order of the network."""
    mean, scale = (10.0, 20.0, 30.0), (200.0, 210.0, 220.0)
    settings = ConversionSettings(
        inputs=("src", "bgr"),
        outputs=("pha",),
        mean=(("src", mean),),
        scale=(("src", scale), ("bgr", (255.0,))),
        reverse_input_channels=True,
        layouts=SETTINGS.layouts,
        shapes=SETTINGS.shapes,
    )
    xml = converted(onnx_file, tmp_path, settings=settings)
    core = openvino.Core()
    model = core.read_model(xml)
    assert [port.get_any_name() for port in model.outputs] == ["pha"]
    src, bgr = (frame.numpy() for frame in make_frames(2, 320, 192))
    session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    (expected,) = session.run(["pha"], {"src": src, "bgr": bgr})
    raw = src * np.reshape(scale, (1, 3, 1, 1)) + np.reshape(mean, (1, 3, 1, 1))
    feed = {"src": raw[:, ::-1].astype(np.float32), "bgr": bgr[:, ::-1] * 255}
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = np.array(compiled(feed)["pha"])
    assert np.median(np.abs(found - np.asarray(expected))) < 1e-5


def test_an_unknown_output_is_an_error_and_keeps_the_existing_ir(
    onnx_file: Path, tmp_path: Path
) -> None:
    """The message names the missing output; nothing is written."""
    xml = converted(onnx_file, tmp_path)
    before = xml.read_bytes()
    settings = ConversionSettings(inputs=("src", "bgr"), outputs=("alpha",))
    with pytest.raises(
        ConversionError, match=r"alpha not found; inputs are src, bgr, outputs are pha, fgr"
    ):
        converted(onnx_file, tmp_path, settings=settings)
    assert xml.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"model.xml", "model.bin"}


def test_a_full_disk_is_reported_and_keeps_the_existing_ir(
    onnx_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO reports only a stream error; the message states that the disk is full."""
    xml = converted(onnx_file, tmp_path)
    before = xml.read_bytes(), xml.with_suffix(".bin").read_bytes()

    def full(_model: object, target: Path, **_: object) -> None:
        target.write_bytes(b"half")
        raise RuntimeError("basic_ios::clear: iostream error")

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(openvino, "save_model", full)
    with pytest.raises(ConversionError, match="iostream error"):
        converted(onnx_file, tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=4096))
    with pytest.raises(WorkspaceError, match="No space left on device") as caught:
        converted(onnx_file, tmp_path)
    assert "Free some space" in caught.value.hint
    assert (xml.read_bytes(), xml.with_suffix(".bin").read_bytes()) == before
    assert {path.name for path in tmp_path.iterdir()} == {"model.xml", "model.bin"}


def test_a_file_that_is_not_onnx_is_a_message_of_one_line(tmp_path: Path) -> None:
    """The message has one line of OpenVINO's."""
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"not an ONNX file")
    with pytest.raises(ConversionError) as caught:
        converted(bad, tmp_path)
    assert "\n" not in caught.value.message
