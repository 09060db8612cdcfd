"""Validate: correct files pass, others fail, and by how much is recorded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import openvino
import pytest
import torch
from onnx import helper
from PIL import Image

from tests.support.builds import SETTINGS, SIZE, broken_onnx, build_small, node, perturb
from tests.support.weights import plausible_state
from toolchain.catalog.records import Limit, Limits, Tolerance
from toolchain.definitions.metrics import GRADES, PUBLISHED_METRICS, Grade
from toolchain.definitions.schemas import VALIDATION
from toolchain.definitions.variants import Variant
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
    return {
        (run.variant.form, run.variant.hint): run.failures for run in result.runs if run.failures
    }


def read(request: ValidateRequest) -> Any:
    return json.loads(request.target.read_text())


def test_a_good_build_passes_and_every_figure_is_written(built: ValidateRequest) -> None:
    """All five variants are measured per output and judged."""
    result = validate(built)
    assert failures(result) == {}
    assert result.verdict == "pass"
    record = read(built)
    assert (record["schema"], record["verdict"]) == (VALIDATION, "pass")
    assert [(run["form"], run["hint"], run["device"]) for run in record["runs"]] == [
        ("ONNX", "f32", "CPU"),
        ("FP32", "f32", "CPU"),
        ("FP32", "default", "CPU"),
        ("FP16", "f32", "CPU"),
        ("FP16", "default", "CPU"),
    ]
    for run in record["runs"]:
        for output in ("pha", "fgr"):
            for where in ("outside_different_patches", "everywhere"):
                figures = run["outputs"][output][where]
                assert {"max_abs", "mean_abs", "rmse", "psnr", "over", "limit"} <= set(figures)
        assert set(run["metrics"]) == set(record["original"]["metrics"])
        assert set(run["metrics"]) == {metric.key for metric in PUBLISHED_METRICS}
        assert run["patches"]["read_from_identical_run"]
        assert run["limits"]["reason"]
        bounds = run["limits"]["bounds"]
        assert {key: run["figures"][key] for key in bounds} == run["limits"]["would_pass"]
        assert all(run["figures"][key] <= bound for key, bound in bounds.items())
        assert run["grade"] in GRADES
        assert "explanations" not in run
    for run in record["runs"][1:]:
        conditions = run["conditions"]
        assert (conditions["asked"], conditions["device"]) == (run["hint"], "CPU")
        assert conditions["executed"] == run["executed"]
        assert set(conditions["layers"]) >= {run["executed"]}
        assert run["hint"] == "default" or "bf16" not in conditions["layers"]
    for run in record["runs"][:2]:
        assert max(run["figures"][f"{output}_max_abs"] for output in ("pha", "fgr")) <= 2e-5


def test_limits_at_f32_are_multiples_of_the_original_s_own_error(built: ValidateRequest) -> None:
    """Of ONNX and FP32: 8 times its largest error and 5 times its rms, with a floor for each."""
    validate(replace(built, composites=1))
    record = read(built)
    own = record["reference"]["own_error"]
    for run in record["runs"][:2]:
        figures, bases, bounds = run["figures"], run["bases"], run["limits"]["bounds"]
        for target in ("pha", "fgr", "inner"):
            for kind, floor, factor in (("max", 2e-6, 8), ("rms", 2e-7, 5)):
                key = f"{target}_{kind}_error"
                assert bounds[key] == max(floor, factor * bases[key])
                assert figures[key] <= bounds[key]
                assert target == "inner" or bases[key] == own[target][kind] > 0
    half = record["runs"][3]
    assert half["limits"]["bounds"]["pha_rms_error"] == max(2e-4, 2**12 * own["pha"]["rms"])
    default = record["runs"][4]
    assert default["limits"]["bounds"]["pha_rms_error"] == max(5e-3, 2**17 * own["pha"]["rms"])


INNER = {
    "downsample": ["src_bgr_sm"],
    "base": ["pha_sm", "res_sm", "err_sm", "hid_sm"],
    "selection": ["ref_sm"],
    "refiner": ["refined"],
    "merge": ["pha", "fgr"],
}


def assert_as_exact_as_the_original(stages: list[Any]) -> None:
    for tensor in (tensor for row in stages for tensor in row["tensors"]):
        assert tensor["max_abs"] <= max(2e-6, 8 * tensor["own_max_abs"]), tensor["name"]
        assert tensor["max_abs"] < 2e-5, tensor["name"]


def test_each_stage_is_measured_in_every_form(built: ValidateRequest) -> None:
    """All tensors between the stages, and the limit that each stage would have passed."""
    validate(replace(built, composites=1))
    record = read(built)
    for run in record["runs"]:
        stages = {row["name"]: row["tensors"] for row in run["stages"]}
        assert {key: [row["name"] for row in rows] for key, rows in stages.items()} == INNER
        for row in run["stages"]:
            assert row["would_pass"] == max(tensor["max_abs"] for tensor in row["tensors"])
            assert all(tensor["finite"] for tensor in row["tensors"])
    for run in record["runs"][:2]:
        assert_as_exact_as_the_original(run["stages"])


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
    stages = read(request)["runs"][0]["stages"]
    assert next(row["name"] for row in stages if row["would_pass"] > 1e-3) == stage
    before = [row for row in stages[: list(INNER).index(stage)] if row["name"] != "selection"]
    assert_as_exact_as_the_original(before)


def test_an_ir_for_bytes_is_fed_bytes_and_passes(built: ValidateRequest, tmp_path: Path) -> None:
    """Whichever of the two formats an IR takes, it gets, and the same limits hold."""
    xml = tmp_path / "m.xml"
    convert(ConvertRequest(built.onnx, xml, "FP32", SETTINGS, (), input_format="u8-nhwc"))
    result = validate(replace(built, irs=(("FP32", xml),), target=tmp_path / "v.json"))
    assert failures(result) == {}
    assert len(result.runs) == 3


def test_frames_are_no_noise(built: ValidateRequest) -> None:
    """On every frame some patches are refined and some are not, or nothing would be compared."""
    validate(replace(built, irs=()))
    patches = read(built)["runs"][0]["patches"]
    assert 0 < patches["refined"] < patches["compared"]


@pytest.mark.parametrize("name", ["backbone.features.4.conv.1.0.weight", "refiner.conv4.weight"])
def test_one_perturbed_layer_fails_the_run(
    name: str, built: ValidateRequest, tmp_path: Path
) -> None:
    """A layer scaled by 2 % is named, and beyond the limit by figure and value."""
    bad = broken_onnx(built.onnx, tmp_path / "bad.onnx", perturb(name, 1.02))
    request = replace(built, onnx=bad, irs=(), target=tmp_path / "v.json")
    result = validate(request)
    assert result.verdict == "fail"
    (weight, *others) = failures(result)["ONNX", "f32"]
    assert weight.startswith(f"{name}: ")
    assert "values are not the checkpoint's" in weight
    assert "pha_max_error is " in "".join(others)
    assert read(request)["verdict"] == "fail"


def test_nan_is_a_failure_of_its_own_kind(built: ValidateRequest, tmp_path: Path) -> None:
    """NaN in an output is called NaN."""
    bad = broken_onnx(
        built.onnx, tmp_path / "nan.onnx", perturb("refiner.conv4.weight", float("nan"))
    )
    result = validate(replace(built, onnx=bad, irs=(), target=tmp_path / "v.json"))
    assert "pha has NaN or infinite values" in failures(result)["ONNX", "f32"]


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
    """The wide limits of the default precision still catch a wrong input range."""
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
    ("change", "message"),
    [
        (lambda model: model.outputs[0].get_tensor().set_names({"alpha"}), "alpha"),
        (lambda model: model.reshape({"src": [-1, 3, 192, 320], "bgr": [-1, 3, 192, 320]}), "stat"),
    ],
    ids=["name", "dynamic"],
)
def test_a_wrong_name_or_a_dynamic_shape_is_refused(
    change: Callable[[Any], None], message: str, built: ValidateRequest, tmp_path: Path
) -> None:
    """The promised ports are part of the verdict."""
    model = openvino.Core().read_model(dict(built.irs)["FP32"])
    change(model)
    xml = tmp_path / "m.xml"
    openvino.save_model(model, xml, compress_to_fp16=False)
    with pytest.raises(ValidationError, match=message):
        validate(replace(built, irs=(("FP32", xml),), target=tmp_path / "v.json"))
    assert not (tmp_path / "v.json").exists()


def test_an_unknown_device_is_refused_with_a_list_of_devices(built: ValidateRequest) -> None:
    """Nothing is run on another device instead."""
    with pytest.raises(
        ValidationError, match=r"NPX: device not found by OpenVINO; available: .*CPU"
    ):
        validate(replace(built, devices=("NPX",)))


def test_a_model_of_another_size_is_refused_with_both_sizes(built: ValidateRequest) -> None:
    """Asked to validate at a size that it was not exported for."""
    with pytest.raises(
        ValidationError, match=r"m\.onnx: takes frames of 320x192, expected 256x128"
    ):
        validate(replace(built, settings=replace(built.settings, width=256, height=128)))


def test_a_form_without_limits_does_not_pass(built: ValidateRequest, tmp_path: Path) -> None:
    """No limit is not an unlimited one."""
    tolerances = tuple(item for item in built.tolerances if item.variant.form != "ONNX")
    result = validate(
        replace(built, irs=(), tolerances=tolerances, target=tmp_path / "validation.json")
    )
    assert failures(result) == {("ONNX", "f32"): ("model.yml has no limits for ONNX at f32",)}
    assert result.verdict == "fail"


def test_a_limit_that_nothing_can_keep_fails_beside_the_original_s_own_rounding(
    built: ValidateRequest, tmp_path: Path
) -> None:
    """The verdict records how far float32 itself is from float64 with these weights."""
    never = (Tolerance(Variant("ONNX"), Limits({"pha_max_error": Limit()}, "none")),)
    request = replace(built, irs=(), tolerances=never, target=tmp_path / "v.json")
    assert validate(request).verdict == "fail"
    own = read(request)["reference"]["own_error"]
    assert all(0 < own[name]["rms"] < own[name]["max"] < 2e-5 for name in ("pha", "fgr"))


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
    runs = read(request)["runs"]
    assert [run["patches"]["refined"] for run in runs] == [500] * 3
    assert [run["patches"]["chosen_differently"] for run in runs] == [0] * 3


def test_patches_that_the_rule_does_not_select_are_a_fault(
    built: ValidateRequest, tmp_path: Path
) -> None:
    """50 patches too many on each of two frames are counted, and for each special case."""
    settings = replace(SIZE, sample_pixels=SIZE.sample_pixels - 50 * 16)
    request = replace(built, settings=settings, irs=built.irs[:1], target=tmp_path / "v.json")
    result = validate(request)
    assert result.verdict == "fail"
    for run in result.runs[:2]:
        assert (
            "100 patches are not those that the published rule selects from the model's own err_sm"
        ) in run.faults
        for name in ("constant", "saturated", "ties", "few above many equal"):
            expected = f"selection: 50 patches are wrong for an expected error that is {name}"
            assert expected in run.faults
    assert result.runs[2].faults == ()  # the device's default is not held to exact checks


def test_the_last_of_equal_errors_is_a_fault_that_frames_do_not_show(
    built: ValidateRequest, tmp_path: Path
) -> None:
    """The rule selects the first ones; only synthetic errors show it."""

    def count_from_the_end(model: Any) -> None:
        attributes = node(model, "frame/CumSum").attribute
        kept = [item for item in attributes if item.name != "reverse"]
        del attributes[:]
        attributes.extend([*kept, helper.make_attribute("reverse", 1)])

    bad = broken_onnx(built.onnx, tmp_path / "bad.onnx", count_from_the_end)
    (run,) = validate(replace(built, onnx=bad, irs=(), target=tmp_path / "v.json")).runs
    assert run.faults
    assert run.failures == run.faults
    assert all(fault.startswith("selection: ") for fault in run.faults)
    assert any(fault.endswith("that is ties") for fault in run.faults)


@pytest.fixture(scope="module")
def ill_conditioned(tmp_path_factory: pytest.TempPathFactory) -> ValidateRequest:
    """A correct export of weights that amplify rounding ten thousand times."""
    folder = tmp_path_factory.mktemp("ill")
    state = plausible_state(3)
    for name in ("decoder.conv4", "refiner.conv4"):
        for key in (f"{name}.weight", f"{name}.bias"):
            state[key][:4] *= 1e4  # not that of the expected error
    torch.save(state, folder / "ill.pth")
    return replace(build_small(folder / "ill.pth", folder), irs=())


def test_ill_conditioned_weights_are_undecidable(ill_conditioned: ValidateRequest) -> None:
    """Neither a pass nor a fail: float32 itself is off by more than a thousandth."""
    result = validate(ill_conditioned)
    assert [run.faults for run in result.runs] == [()]
    assert result.verdict == "undecidable"
    record = read(ill_conditioned)
    assert record["verdict"] == "undecidable"
    assert max(record["reference"]["own_error"][name]["max"] for name in ("pha", "fgr")) > 1e-3
    assert "explanations" not in record["runs"][0]


def test_ill_conditioned_weights_do_not_excuse_a_wrong_constant(
    ill_conditioned: ValidateRequest, tmp_path: Path
) -> None:
    """What is checked exactly does not depend on rounding."""
    change = perturb("decoder.conv1.weight", 1.001)
    bad = broken_onnx(ill_conditioned.onnx, tmp_path / "bad.onnx", change)
    result = validate(replace(ill_conditioned, onnx=bad, target=tmp_path / "v.json"))
    assert result.verdict == "fail"
    assert result.runs[0].faults[0].startswith("decoder.conv1.weight: ")


@pytest.mark.parametrize(
    ("required", "expected"), [("", ()), ("C", ()), ("B", ("its grade is C, required is B",))]
)
def test_a_grade_can_be_required_of_the_default_precision(
    required: Grade | Literal[""],
    expected: tuple[str, ...],
    built: ValidateRequest,
    tmp_path: Path,
) -> None:
    """Without that any grade will do; runs at f32 are not graded for the verdict."""
    xml = tmp_path / "m.xml"
    convert(ConvertRequest(built.onnx, xml, "FP32", replace(SETTINGS, scale=()), ()))
    loose = Limits({"pha_max_abs": Limit(1.0)}, "for tests")
    tolerances = tuple(Tolerance(item.variant, loose) for item in built.tolerances)
    request = replace(
        built,
        irs=(("FP32", xml),),
        tolerances=tolerances,
        composites=1,
        require_default=required,
        target=tmp_path / "v.json",
    )
    result = validate(request)
    assert [run["grade"] for run in read(request)["runs"]] == ["A", "C", "C"]
    assert result.runs[2].failures == tuple(f"{text} or better" for text in expected)
    assert not any("grade" in text for run in result.runs[:2] for text in run.failures)


def test_float16_weights_do_not_hide_a_fault_of_the_graph(
    built: ValidateRequest, tmp_path: Path
) -> None:
    """An FP16 IR is judged under the limits of FP32 too, with float32 weights in place of its own.

    An input range that is 0.1 % off keeps the limits of FP16, but not those.
    """
    scale = (("src", (255.25,)), ("bgr", (255.25,)))
    xml = tmp_path / "m.xml"
    convert(ConvertRequest(built.onnx, xml, "FP16", replace(SETTINGS, scale=scale), ()))
    request = replace(built, irs=(("FP16", xml),), scale=(255.25,), target=tmp_path / "v.json")
    found = failures(validate(request))
    assert any(text.startswith("with float32 weights: pha_") for text in found["FP16", "f32"])


def test_captures_are_validated_as_well(built: ValidateRequest, tmp_path: Path) -> None:
    """Images of another size are resized, named, and compared without a ground truth."""
    random = np.random.default_rng(4)
    for name in ("src", "bgr"):
        pixels = random.integers(0, 255, (50, 80, 3), np.uint8)
        Image.fromarray(pixels).resize((640, 400)).save(tmp_path / f"{name}.png")
    request = replace(built, irs=(), composites=1, captures=(tmp_path,), target=tmp_path / "v.json")
    assert validate(request).verdict == "pass"
    assert len(read(request)["frames"]) == 2
    (tmp_path / "src.png").write_bytes(b"cut")
    with pytest.raises(FrameError, match=r"src\.png"):
        validate(replace(built, irs=(), captures=(tmp_path,), target=tmp_path / "w.json"))


def test_real_frames_pass(built: ValidateRequest, real_frames: Path, tmp_path: Path) -> None:
    """A real capture keeps every limit too."""
    copy = tmp_path / "capture"
    shutil.copytree(real_frames, copy)
    result = validate(replace(built, composites=1, captures=(copy,), target=tmp_path / "v.json"))
    assert failures(result) == {}
