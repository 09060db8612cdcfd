"""FP16-INT8 as part of a build."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from toolchain.catalog.reader import read_model
from toolchain.cli.main import main
from toolchain.errors import FrameError, QuantizationError
from toolchain.pipeline.build import BuildResult, build, plan_build
from toolchain.pipeline.request import BuildRequest, Quantization
from toolchain.pipeline.weights import choose_weights

NAME = "small-matting"
INT8 = f"FP16-INT8/{NAME}.xml"
LIMITS = "tolerances:\n" + "".join(
    f"  - {{form: {form}, hint: {hint}, alpha_mad_worse: 900, reason: for tests}}\n"
    for form, hint in (
        ("ONNX", "f32"),
        ("FP32", "f32"),
        ("FP32", "default"),
        ("FP16", "f32"),
        ("FP16", "default"),
        ("FP16-INT8", "f32"),
        ("FP16-INT8", "default"),
    )
)


@pytest.fixture(scope="module")
def config(small_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("limited") / "model.yml"
    path.write_text(small_config.read_text() + LIMITS)
    return path


@pytest.fixture(scope="module")
def built(config: Path, tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    """A build of all three precisions; do not change it."""
    model, output = read_model(config), tmp_path_factory.mktemp("built") / "out"
    request = BuildRequest(
        model,
        choose_weights(model, "upstream", output),
        output,
        precisions=("FP32", "FP16", "FP16-INT8"),
        composites=1,
        quantization=Quantization(calibration=2),
    )
    return build(request)


@pytest.fixture
def copy(built: BuildResult, tmp_path: Path) -> BuildRequest:
    """A copy of the build for one test."""
    shutil.copytree(built.request.output, tmp_path / "out")
    return replace(built.request, output=tmp_path / "out")


def ran(result: BuildResult) -> list[str]:
    return [outcome.entry for outcome in result.outcomes if outcome.ran]


def test_a_build_makes_and_validates_it(built: BuildResult) -> None:
    """After the conversions and before the validation, which measures it at both hints."""
    assert ran(built) == [
        "download",
        "export",
        "convert-FP32",
        "convert-FP16",
        "quantize-FP16-INT8",
        "validate",
        "report",
    ]
    folder = built.request.layout.folder
    assert {path.name for path in (folder / "FP16-INT8").iterdir()} == {
        f"{NAME}.xml",
        f"{NAME}.bin",
        "quantization.json",
    }
    verdict = json.loads((folder / "validation.json").read_text())
    rows = [(run["form"], run["hint"]) for run in verdict["runs"]][-2:]
    assert rows == [("FP16-INT8", "f32"), ("FP16-INT8", "default")]
    assert INT8 in verdict["files"]
    assert "alpha_grad_worse" in verdict["runs"][-1]["figures"]


def test_it_is_made_again_only_after_a_change(built: BuildResult, copy: BuildRequest) -> None:
    """A deleted file is made again with the same bytes; other ignored layers make another IR."""
    assert not any(item.action == "run" for item in plan_build(copy))
    assert not build(copy).anything_ran
    lost = copy.layout.ir("FP16-INT8").with_suffix(".bin")
    lost.unlink()
    assert ran(build(copy)) == ["quantize-FP16-INT8", "validate", "report"]
    same = built.request.layout.ir("FP16-INT8").with_suffix(".bin")
    assert lost.read_bytes() == same.read_bytes()
    changed = replace(copy.quantization, ignored=("refiner",))
    assert [
        item.entry
        for item in plan_build(replace(copy, quantization=changed))
        if item.action == "run"
    ] == [
        "quantize-FP16-INT8",
        "validate",
        "report",
    ]


def test_the_command_reports_in_json_that_it_is_up_to_date(
    built: BuildResult, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """stdout is only JSON, for a run and for a dry run."""
    arguments = ["quantize", "--config", str(config), "-o", str(built.request.output)]
    arguments += ["--calibration", "2", "--frames", "1", "--json"]
    assert main(arguments) == 0
    (stage,) = json.loads(capsys.readouterr().out)["stages"]
    assert (stage["stage"], stage["ran"]) == ("quantize-FP16-INT8", False)
    assert main([*arguments, "--dry-run"]) == 0
    (seen,) = json.loads(capsys.readouterr().out)
    assert seen["action"] == "keep"


def test_alone_it_includes_its_sources(
    copy: BuildRequest, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """FP16 and FP32 are made for it; without them `matting quantize` fails."""
    alone = replace(copy, precisions=("FP16-INT8",), stages=("convert", "quantize"))
    assert [item.entry for item in plan_build(alone)] == [
        "convert-FP32",
        "convert-FP16",
        "quantize-FP16-INT8",
    ]
    shutil.rmtree(copy.layout.folder / "FP16")
    arguments = ["quantize", "--config", str(config), "-o", str(copy.output), "-q"]
    assert main(arguments) == 1
    assert "not found" in capsys.readouterr().err


def test_missing_requirements_are_reported_before_the_download(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the folder of frames, or without NNCF, nothing is written."""
    model, output = read_model(config), tmp_path / "out"
    weights = choose_weights(model, "upstream", output)
    missing = Quantization(dataset=tmp_path / "none")
    request = BuildRequest(model, weights, output, precisions=("FP16-INT8",), quantization=missing)
    with pytest.raises(FrameError, match="not a folder"):
        build(request)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(QuantizationError, match="not installed"):
        build(request)
    assert not output.exists()
