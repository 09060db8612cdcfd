"""Quantize: convolutions only, reproducible, within the limits, or an error with a hint."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
import torch
from PIL import Image

from toolchain.catalog.arguments import ConversionSettings, ExportSettings
from toolchain.catalog.builtin import builtin_config
from toolchain.catalog.reader import read_model
from toolchain.catalog.records import Limit, Limits, Tolerance
from toolchain.checkpoints.load import load_network
from toolchain.definitions.architecture import MOBILENETV2
from toolchain.definitions.variants import Variant
from toolchain.errors import FrameError, QuantizationError
from toolchain.frames.generated import composite
from toolchain.stages.convert.convert import convert
from toolchain.stages.convert.request import ConvertRequest, Float32Constants
from toolchain.stages.export.export import export
from toolchain.stages.export.request import ExportRequest
from toolchain.stages.quantize.calibration_frames import build_loaders
from toolchain.stages.quantize.layers import find_convolutions, group_layers, is_in_layers
from toolchain.stages.quantize.quantize import quantize
from toolchain.stages.quantize.request import QuantizeRequest, QuantizeResult

ROOT = Path(__file__).parents[2]
FLOAT32 = Float32Constants.from_architecture(MOBILENETV2)
SHAPE = (1, 3, 192, 320)
SETTINGS = ConversionSettings(
    inputs=("src", "bgr"),
    outputs=("pha", "fgr"),
    scale=(("src", (255.0,)), ("bgr", (255.0,))),
    reverse_input_channels=True,
    layouts=(("src", "NCHW"), ("bgr", "NCHW")),
    shapes=(("src", SHAPE), ("bgr", SHAPE)),
)
ONLY_DECODER = ("backbone", "aspp", "decoder.conv3", "decoder.conv4", "refiner")


def limits(value: float, figure: str = "alpha_mad_worse") -> tuple[Tolerance, ...]:
    return (Tolerance(Variant("FP16-INT8"), Limits({figure: Limit(value)}, "test")),)


def irs(checkpoint: Path, folder: Path) -> QuantizeRequest:
    export(
        ExportRequest(
            checkpoint, folder / "m.onnx", ExportSettings(320, 192, sample_pixels=8_000), ()
        )
    )
    for precision in ("FP32", "FP16"):
        xml = folder / precision / "m.xml"
        facts = (("model", "m"),)
        convert(ConvertRequest(folder / "m.onnx", xml, precision, SETTINGS, facts, (), FLOAT32))
    return QuantizeRequest(
        source=folder / "FP16" / "m.xml",
        reference=folder / "FP32" / "m.xml",
        xml=folder / "FP16-INT8" / "m.xml",
        tolerances=limits(1000.0),
        ignored=MOBILENETV2.ignored_layers,
        calibration=2,
        composites=1,
    )


@pytest.fixture(scope="module")
def made(
    checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[QuantizeRequest, QuantizeResult]:
    """A quantized IR of the plausible weights; not to be changed."""
    request = irs(checkpoint, tmp_path_factory.mktemp("quantized"))
    return request, quantize(request)


def test_convolutions_are_in_8_bits_and_nothing_else_is(
    made: tuple[QuantizeRequest, QuantizeResult],
) -> None:
    """Every FakeQuantize feeds a chosen convolution; gathers, indices and resizes are untouched."""
    request, result = made
    model = openvino.Core().read_model(request.xml)
    fed = [
        port.get_node().get_friendly_name()
        for node in model.get_ops()
        if node.get_type_name() == "FakeQuantize"
        for port in node.output(0).get_target_inputs()
    ]
    layers = find_convolutions(model)
    assert set(fed) == {node for node, layer in layers.items() if layer in result.quantized}
    assert set(result.quantized).isdisjoint(result.kept)
    assert {*result.quantized, *result.kept} == set(layers.values())
    assert set(result.kept) == {
        layer for layer in layers.values() if is_in_layers(layer, MOBILENETV2.ignored_layers)
    }
    before = openvino.Core().read_model(request.source)
    for kind in ("Gather", "TopK", "ScatterNDUpdate", "Convolution", "GroupConvolution"):
        counts = [Counter(n.get_type_name() for n in m.get_ops())[kind] for m in (before, model)]
        assert counts[0] == counts[1] > 0


def test_the_weights_are_a_quarter_and_the_facts_stay(
    made: tuple[QuantizeRequest, QuantizeResult],
) -> None:
    """Half the FP16 bin or little more; ports and rt_info as before, and what stayed float."""
    request, result = made
    source = request.source.with_suffix(".bin").stat().st_size
    assert result.bin_size == request.xml.with_suffix(".bin").stat().st_size < 0.56 * source
    assert result.xml_size == request.xml.stat().st_size
    model = openvino.Core().read_model(request.xml)
    ports = [port.get_any_name() for port in (*model.inputs, *model.outputs)]
    assert ports == ["src", "bgr", "pha", "fgr"]
    assert model.get_rt_info(["matting", "model"]).astype(str) == "m"
    assert model.get_rt_info(["matting", "float_layers"]).astype(str) == " ".join(
        MOBILENETV2.ignored_layers
    )
    assert str(request.xml.parent) not in request.xml.read_text()


def test_the_record_has_frames_figures_and_limits(
    made: tuple[QuantizeRequest, QuantizeResult],
) -> None:
    """quantization.json has what it was calibrated and judged on, which never overlap."""
    request, result = made
    record = json.loads((request.xml.parent / "quantization.json").read_text())
    assert len(record["calibrated_on"]) == request.calibration
    assert record["judged_on"] == ["composite-2026"]
    assert not set(record["calibrated_on"]) & set(record["judged_on"])
    (run,) = record["runs"]
    assert run["hint"] == "f32"
    assert run["limits"] == {"alpha_mad_worse": 1000.0}
    assert run["figures"] == result.figures["f32"]
    assert set(run["figures"]) > {"alpha_mad_worse", "alpha_grad_change"}


def test_the_same_bytes_in_another_folder_silently_and_with_an_empty_home(
    made: tuple[QuantizeRequest, QuantizeResult], tmp_path: Path
) -> None:
    """Another process gives the same IR, without connections or files in the home folder."""
    request, _ = made
    home, there = tmp_path / "home", tmp_path / "there" / "m.xml"
    home.mkdir()
    code = (
        "import socket, sys; from dataclasses import replace; from pathlib import Path\n"
        "def refuse(*_, **__): raise SystemExit('the network was asked for')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "from pathlib import PosixPath, WindowsPath\n"
        "from toolchain.catalog.records import Limit, Limits, Tolerance\n"
        "from toolchain.definitions.variants import Variant\n"
        "from toolchain.stages.quantize.quantize import quantize\n"
        "from toolchain.stages.quantize.request import QuantizeRequest\n"
        f"quantize(replace({request!r}, xml=Path(sys.argv[1])))\n"
    )
    cleared = ("CI", "NNCF_CI", "NNCF_DEV", "GITHUB_ACTIONS")  # under which they are quiet anyway
    environment = {key: value for key, value in os.environ.items() if key not in cleared}
    environment |= {"HOME": str(home), "USERPROFILE": str(home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(there)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == done.stderr == ""
    assert not [path for path in home.rglob("*") if path.is_file()]
    for suffix in (".xml", ".bin"):
        assert request.xml.with_suffix(suffix).read_bytes() == (
            there.with_suffix(suffix).read_bytes()
        )


def test_frames_of_one_s_own_change_the_ranges(
    made: tuple[QuantizeRequest, QuantizeResult], tmp_path: Path
) -> None:
    """--dataset is what is calibrated on, at any size, evenly chosen; a bad one is one sentence."""
    request, _ = made
    for folder in ("src", "bgr"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for index in range(4):
        frame = composite(40 + index, 160, 96)
        for name in ("src", "bgr"):
            Image.fromarray(getattr(frame, name)).save(tmp_path / "data" / name / f"{index}.png")
    own = replace(request, dataset=tmp_path / "data", xml=tmp_path / "m.xml")
    quantize(own)
    record = json.loads((tmp_path / "quantization.json").read_text())
    assert record["calibrated_on"] == ["data/0", "data/2"]
    assert (tmp_path / "m.bin").read_bytes() != request.xml.with_suffix(".bin").read_bytes()
    with pytest.raises(FrameError, match="not a folder"):
        quantize(replace(own, dataset=tmp_path / "none"))


def test_a_layer_that_8_bits_ruin_is_found_and_sparing_it_is_enough(tmp_path: Path) -> None:
    """The good IR stays, the advice names the layer, and following it passes."""
    bundled = ROOT / "toolchain/data/background-matting-mobilenetv2-bundled.safetensors"
    state = {key: value.clone() for key, value in load_network(bundled).state_dict().items()}
    # One unused channel, a thousand times larger: no effect in float.
    for part in ("weight", "bias"):
        state[f"decoder.bn1.{part}"][0] = 1e3
    state["decoder.conv2.weight"][:, 0] = 0
    checkpoint = tmp_path / "loud.pth"
    torch.save(state, checkpoint)
    request = replace(irs(checkpoint, tmp_path), ignored=ONLY_DECODER, tolerances=limits(0.5))
    request.xml.parent.mkdir()
    request.xml.write_text("the good one")
    with pytest.raises(QuantizationError, match="alpha_mad_worse is") as caught:
        quantize(request)
    assert request.xml.read_text() == "the good one"
    assert [path.name for path in request.xml.parent.iterdir()] == ["m.xml"]
    ignored = re.findall(r"--ignore-layer (\S+)", caught.value.hint)
    assert ignored == ["decoder.conv2"]
    result = quantize(replace(request, ignored=(*ONLY_DECODER, *ignored)))
    assert result.quantized == ("decoder.conv1",)
    assert result.figures["f32"]["alpha_mad_worse"] <= 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ignored": ("decoder.conv9",)}, r"not found: decoder\.conv9"),
        ({"ignored": ("backbone", "aspp", "decoder", "refiner")}, "no layer is left"),
        ({"tolerances": ()}, "limits no metric of FP16-INT8"),
        (
            {"tolerances": limits(1, "pha_max_abs")},
            "limits no metric of FP16-INT8",
        ),
    ],
)
def test_invalid_requests_are_one_sentence(
    changes: dict[str, Any],
    message: str,
    made: tuple[QuantizeRequest, QuantizeResult],
    tmp_path: Path,
) -> None:
    """No file is written; the sentence names the fault."""
    request, _ = made
    with pytest.raises(QuantizationError, match=message) as caught:
        quantize(replace(request, xml=tmp_path / "m.xml", **changes))
    assert "\n" not in caught.value.message
    assert not list(tmp_path.iterdir())


def test_without_nncf_the_error_names_the_extra(
    made: tuple[QuantizeRequest, QuantizeResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is raised before the calibration."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(QuantizationError, match="not installed") as caught:
        quantize(made[0])
    assert "[quantize]" in caught.value.hint


def test_layers_are_ignored_by_whole_names(made: tuple[QuantizeRequest, QuantizeResult]) -> None:
    """A name includes its parts: features.1 is not features.10; every layer is in a group."""
    assert is_in_layers("backbone.features.1.conv.1", ("backbone.features.1",))
    assert not is_in_layers("backbone.features.10.conv.1", ("backbone.features.1",))
    model = openvino.Core().read_model(made[0].source)
    names = tuple(name for group in group_layers(model) for name in group)
    assert len(names) == len(set(names))
    assert all(is_in_layers(layer, names) for layer in find_convolutions(model).values())
    assert ("decoder.conv4",) in group_layers(model)
    assert sum(group[0].startswith("backbone") for group in group_layers(model)) == 4


def test_calibration_frames_are_not_used_for_measuring() -> None:
    """They differ from the generated frames of validation and evaluation."""
    frames = [load() for load in build_loaders(None, 2, (64, 64))]
    judged = [composite(2026 + index, 64, 64) for index in range(2)]
    for one in frames:
        for other in judged:
            assert not np.array_equal(one.src, other.src)


def test_model_yml_has_the_published_limits() -> None:
    """MAD and foreground MSE 0.5 or 5 %, GRAD 5 %, at both hints, each with its reason."""
    found = [t for t in read_model(builtin_config()).tolerances if t.variant.form == "FP16-INT8"]
    assert {item.variant.hint for item in found} == {"f32", "default"}
    for item in found:
        assert item.limits.by_figure == {
            "alpha_mad_worse": Limit(0.5, 0.05),
            "alpha_grad_worse": Limit(0, 0.05),
            "foreground_mse_worse": Limit(0.5, 0.05),
        }
        assert item.limits.reason
