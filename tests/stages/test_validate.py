"""Validate: passes what is the same, fails what is not, and says by how much."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
import torch
from PIL import Image

from tests.support.builds import SETTINGS, SIZE, broken_onnx, build_small, perturb
from tests.support.weights import plausible_state
from toolchain.catalog.records import Limits, Tolerance
from toolchain.errors import FrameError, ValidationError
from toolchain.stages.convert.convert import convert
from toolchain.stages.convert.request import ConvertRequest
from toolchain.stages.export.export import export
from toolchain.stages.export.request import ExportRequest
from toolchain.stages.validate.request import ValidateRequest, ValidateResult
from toolchain.stages.validate.validate import validate


@pytest.fixture(scope="module")
def built(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> ValidateRequest:
    """A good export and both IRs at a small size, and the published limits."""
    return build_small(checkpoint, tmp_path_factory.mktemp("built"))


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
        limits = {key: value for key, value in run["limits"].items() if key != "reason"}
        assert {key: run["figures"][key] for key in limits} == run["would_pass"]
        assert "explanations" not in run
    for run in verdict["runs"][1:]:
        conditions = run["conditions"]
        assert (conditions["asked"], conditions["device"]) == (run["hint"], "CPU")
        assert conditions["executed"] == run["executed"]
        assert set(conditions["layers"]) >= {run["executed"]}
        assert run["hint"] == "default" or "bf16" not in conditions["layers"]
    exact = next(run for run in verdict["runs"] if run["form"] == "FP32" and run["hint"] == "f32")
    assert exact["figures"]["pha_max_abs"] <= 2e-5
    assert exact["figures"]["fgr_max_abs"] <= 2e-5


INNER = {
    "downsample": ["src_bgr_sm"],
    "base": ["pha_sm", "res_sm", "err_sm", "hid_sm"],
    "selection": ["ref_sm"],
    "refiner": ["refined"],
    "merge": ["pha", "fgr"],
}


def test_each_stage_is_measured_in_every_form(built: ValidateRequest) -> None:
    """All tensors between the stages, and the limit that each stage would have passed."""
    verdict = json.loads(validate(replace(built, composites=1)).target.read_text())
    for run in verdict["runs"]:
        stages = {row["name"]: row["tensors"] for row in run["stages"]}
        assert {key: [row["name"] for row in rows] for key, rows in stages.items()} == INNER
        for row in run["stages"]:
            assert row["would_pass"] == max(tensor["max_abs"] for tensor in row["tensors"])
            assert all(tensor["finite"] for tensor in row["tensors"])
    exact = next(run for run in verdict["runs"] if run["form"] == "FP32" and run["hint"] == "f32")
    assert all(row["would_pass"] < 2e-5 for row in exact["stages"])


@pytest.mark.parametrize(
    ("name", "stage"), [("decoder.conv4.first.weight", "base"), ("refiner.conv4.weight", "refiner")]
)
def test_the_first_stage_that_differs_is_the_one_that_was_changed(
    name: str, stage: str, built: ValidateRequest, tmp_path: Path
) -> None:
    """Those before it are as exact as ever."""
    bad = broken_onnx(built.onnx, tmp_path / "bad.onnx", perturb(name, 1.1))
    request = replace(built, onnx=bad, irs=(), composites=1, target=tmp_path / "v.json")
    validate(request)
    stages = json.loads(request.target.read_text())["runs"][0]["stages"]
    assert next(row["name"] for row in stages if row["would_pass"] > 1e-3) == stage
    before = [row for row in stages[: list(INNER).index(stage)] if row["name"] != "selection"]
    assert all(row["would_pass"] < 2e-5 for row in before)


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


@pytest.mark.parametrize("name", ["backbone.features.4.conv.1.0.weight", "refiner.conv4.weight"])
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


def test_an_unknown_device_is_refused_with_those_that_are_there(built: ValidateRequest) -> None:
    """Nothing is run on another device instead."""
    with pytest.raises(ValidationError, match=r"NPX: OpenVINO finds no such device; it has .*CPU"):
        validate(replace(built, devices=("NPX",)))


def test_a_model_of_another_size_is_refused_with_both_sizes(built: ValidateRequest) -> None:
    """Asked to validate at a size that it was not exported for."""
    with pytest.raises(
        ValidationError, match=r"m\.onnx: takes frames of 320x192, expected 256x128"
    ):
        validate(replace(built, settings=replace(built.settings, width=256, height=128)))


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
