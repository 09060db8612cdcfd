"""Validate: passes what is the same, fails what is not, and says by how much."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
import pytest
import torch
from onnx import numpy_helper
from PIL import Image

from tests.support.weights import plausible_state
from toolchain.catalog.arguments import ConversionSettings, ExportSettings
from toolchain.catalog.builtin import builtin_config
from toolchain.catalog.reader import read_model
from toolchain.catalog.records import Limits, Tolerance
from toolchain.errors import FrameError, ValidationError
from toolchain.pipeline.request import KEPT
from toolchain.stages.convert import ConvertRequest, convert
from toolchain.stages.export import ExportRequest, export
from toolchain.stages.validate import ValidateRequest, ValidateResult, validate

SIZE = ExportSettings(320, 192, sample_pixels=8_000)
SHAPE = (1, 3, 192, 320)
SETTINGS = ConversionSettings(
    inputs=("src", "bgr"),
    outputs=("pha", "fgr"),
    scale=(("src", (255.0,)), ("bgr", (255.0,))),
    reverse_input_channels=True,
    layouts=(("src", "NCHW"), ("bgr", "NCHW")),
    shapes=(("src", SHAPE), ("bgr", SHAPE)),
)


@pytest.fixture(scope="module")
def built(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> ValidateRequest:
    """A good export and both IRs at a small size, and the published limits."""
    folder = tmp_path_factory.mktemp("built")
    onnx_file = folder / "m.onnx"
    export(ExportRequest(checkpoint, onnx_file, SIZE, ()))
    irs = []
    for precision in ("FP32", "FP16"):
        xml = folder / precision / "m.xml"
        convert(ConvertRequest(onnx_file, xml, precision, SETTINGS, (), (), KEPT))  # type: ignore[arg-type]
        irs.append((precision, xml))
    return ValidateRequest(
        name="m",
        checkpoint=checkpoint,
        onnx=onnx_file,
        irs=tuple(irs),
        settings=SIZE,
        tolerances=read_model(builtin_config()).tolerances,
        target=folder / "validation.json",
        composites=2,
    )


def failures(result: ValidateResult) -> dict[tuple[str, str], tuple[str, ...]]:
    return {(run.form, run.hint): run.failures for run in result.runs if run.failures}


def test_a_good_build_passes_and_every_figure_is_written(built: ValidateRequest) -> None:
    """All five ways of running are measured per output and judged."""
    result = validate(built)
    assert failures(result) == {}
    assert result.passed
    verdict = json.loads(built.target.read_text())
    assert verdict["verdict"] == "pass"
    assert [(run["form"], run["hint"]) for run in verdict["runs"]] == [
        ("ONNX", "f32"),
        ("FP32", "f32"),
        ("FP32", "default"),
        ("FP16", "f32"),
        ("FP16", "default"),
    ]
    for run in verdict["runs"]:
        for output in ("pha", "fgr"):
            for where in ("outside_different_patches", "everywhere"):
                figures = run["outputs"][output][where]
                assert {"max_abs", "mean_abs", "rmse", "psnr", "over", "limit"} <= set(figures)
        assert set(run["between"]) == set(run["truth"])
        assert run["patches"]["read_from_identical_run"]
        assert run["limits"]["reason"]
    exact = next(run for run in verdict["runs"] if run["form"] == "FP32" and run["hint"] == "f32")
    assert exact["figures"]["pha_max_abs"] <= 2e-5
    assert exact["figures"]["fgr_max_abs"] <= 2e-5


def test_an_ir_for_bytes_is_fed_bytes_and_passes(built: ValidateRequest, tmp_path: Path) -> None:
    """Whatever of the two formats the IR asks for, it gets, and the same limits hold."""
    xml = tmp_path / "m.xml"
    convert(ConvertRequest(built.onnx, xml, "FP32", SETTINGS, (), input_format="u8-nhwc"))
    result = validate(replace(built, irs=(("FP32", xml),), target=tmp_path / "v.json"))
    assert failures(result) == {}
    assert len(result.runs) == 3


def test_frames_are_no_noise(built: ValidateRequest) -> None:
    """On every frame some patches are refined and some are not, or nothing would be compared."""
    verdict = json.loads(validate(replace(built, irs=())).target.read_text())
    patches = verdict["runs"][0]["patches"]
    assert 0 < patches["refined"] < patches["compared"]


def broken_onnx(source: Path, target: Path, change: Callable[[Any], None]) -> Path:
    model = onnx.load(source)
    change(model)
    onnx.save(model, target)
    return target


def perturb(name: str, factor: float) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        for item in model.graph.initializer:
            if item.name == name:
                values = numpy_helper.to_array(item) * np.float32(factor)
                item.CopyFrom(numpy_helper.from_array(values, name))
                return
        raise KeyError(name)

    return change


@pytest.mark.parametrize("name", ["backbone.features.4.conv.1.0.weight", "refiner.conv3.weight"])
def test_one_perturbed_layer_fails_the_run(
    name: str, built: ValidateRequest, tmp_path: Path
) -> None:
    """A layer scaled by 2 % is over the limit of 2e-5 and named by figure and value."""
    bad = broken_onnx(built.onnx, tmp_path / "bad.onnx", perturb(name, 1.02))
    result = validate(replace(built, onnx=bad, irs=(), target=tmp_path / "v.json"))
    assert not result.passed
    assert "pha_max_abs" in "".join(failures(result)["ONNX", "f32"])
    assert json.loads((tmp_path / "v.json").read_text())["verdict"] == "fail"


def test_nan_is_a_failure_of_its_own_kind(built: ValidateRequest, tmp_path: Path) -> None:
    """NaN in an output is said to be NaN."""
    bad = broken_onnx(
        built.onnx, tmp_path / "nan.onnx", perturb("refiner.conv4.weight", float("nan"))
    )
    result = validate(replace(built, onnx=bad, irs=(), target=tmp_path / "v.json"))
    assert "pha holds NaN or infinite values" in failures(result)["ONNX", "f32"]


def test_forgotten_channel_reversal_fails(built: ValidateRequest, tmp_path: Path) -> None:
    """An IR that takes RGB instead of BGR does not pass."""
    xml = tmp_path / "m.xml"
    settings = replace(SETTINGS, reverse_input_channels=False)
    convert(ConvertRequest(built.onnx, xml, "FP32", settings, ()))
    result = validate(replace(built, irs=(("FP32", xml),), target=tmp_path / "v.json"))
    assert {("FP32", "f32"), ("FP32", "default")} <= set(failures(result))


def test_forgotten_scale_fails_even_at_the_default_precision(
    built: ValidateRequest, tmp_path: Path
) -> None:
    """The wider limits of the default precision still catch a wrong input range."""
    xml = tmp_path / "m.xml"
    convert(ConvertRequest(built.onnx, xml, "FP32", replace(SETTINGS, scale=()), ()))
    result = validate(replace(built, irs=(("FP32", xml),), target=tmp_path / "v.json"))
    assert ("FP32", "default") in failures(result)


def test_other_weights_of_the_same_network_fail_at_every_precision(
    built: ValidateRequest, tmp_path: Path
) -> None:
    """A file that was made from another checkpoint never passes for this one."""
    other = tmp_path / "other.pth"
    torch.save(plausible_state(77), other)
    result = validate(replace(built, checkpoint=other, target=tmp_path / "v.json"))
    assert len(failures(result)) == 5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda model: model.outputs[0].get_tensor().set_names({"alpha"}), "alpha"),
        (lambda model: model.reshape({"src": [-1, 3, 192, 320], "bgr": [-1, 3, 192, 320]}), "stat"),
    ],
    ids=["name", "dynamic"],
)
def test_a_wrong_name_or_a_dynamic_shape_is_refused(
    change: Callable[[Any], None], said: str, built: ValidateRequest, tmp_path: Path
) -> None:
    """The promised ports are part of the verdict."""
    model = openvino.Core().read_model(dict(built.irs)["FP32"])
    change(model)
    xml = tmp_path / "m.xml"
    openvino.save_model(model, xml, compress_to_fp16=False)
    with pytest.raises(ValidationError, match=said):
        validate(replace(built, irs=(("FP32", xml),), target=tmp_path / "v.json"))
    assert not (tmp_path / "v.json").exists()


def test_a_form_without_limits_does_not_pass(built: ValidateRequest, tmp_path: Path) -> None:
    """No limit is not an unlimited one."""
    tolerances = tuple(item for item in built.tolerances if item.form != "ONNX")
    result = validate(
        replace(built, irs=(), tolerances=tolerances, target=tmp_path / "validation.json")
    )
    assert "no limits for ONNX at f32" in failures(result)["ONNX", "f32"][0]


def test_a_limit_that_nothing_can_keep_explains_the_original_s_own_rounding(
    built: ValidateRequest, tmp_path: Path
) -> None:
    """After a fail the verdict tells how far float32 itself is from float64 with these weights."""
    never = (Tolerance("ONNX", "f32", Limits(pha_max_abs=0.0, reason="none")),)
    validate(replace(built, irs=(), tolerances=never, target=tmp_path / "v.json"))
    verdict = json.loads((tmp_path / "v.json").read_text())
    assert 0 < verdict["original_own_rounding"]["pha_max_abs"] < 2e-5


def test_ties_are_no_difference(built: ValidateRequest, tmp_path: Path) -> None:
    """Where err is the same everywhere, every runtime selects the same patches."""
    state = plausible_state(5)
    state["decoder.conv4.bias"][4] = 50.0  # err is clamped to 1 in every cell
    checkpoint = tmp_path / "saturated.pth"
    torch.save(state, checkpoint)
    onnx_file, xml = tmp_path / "m.onnx", tmp_path / "m.xml"
    export(ExportRequest(checkpoint, onnx_file, SIZE, ()))
    convert(ConvertRequest(onnx_file, xml, "FP32", SETTINGS, ()))
    request = replace(
        built,
        checkpoint=checkpoint,
        onnx=onnx_file,
        irs=(("FP32", xml),),
        composites=1,
        target=tmp_path / "v.json",
    )
    assert failures(validate(request)) == {}
    runs = json.loads(request.target.read_text())["runs"]
    assert [run["patches"]["refined"] for run in runs] == [500] * 3
    assert [run["patches"]["chosen_differently"] for run in runs] == [0] * 3


def test_captures_are_validated_as_well(built: ValidateRequest, tmp_path: Path) -> None:
    """Pictures of another size are fitted, named, and compared without a truth."""
    random = np.random.default_rng(4)
    for name in ("src", "bgr"):
        pixels = random.integers(0, 255, (50, 80, 3), np.uint8)
        Image.fromarray(pixels).resize((640, 400)).save(tmp_path / f"{name}.png")
    result = validate(
        replace(built, irs=(), composites=1, captures=(tmp_path,), target=tmp_path / "v.json")
    )
    assert result.passed
    assert len(json.loads((tmp_path / "v.json").read_text())["frames"]) == 2
    (tmp_path / "src.png").write_bytes(b"cut")
    with pytest.raises(FrameError, match=r"src\.png"):
        validate(replace(built, irs=(), captures=(tmp_path,), target=tmp_path / "w.json"))


def test_real_frames_pass(built: ValidateRequest, real_frames: Path, tmp_path: Path) -> None:
    """A real capture keeps every limit too."""
    copy = tmp_path / "capture"
    shutil.copytree(real_frames, copy)
    result = validate(replace(built, composites=1, captures=(copy,), target=tmp_path / "v.json"))
    assert failures(result) == {}
