"""`matting validate --layers`: says where, in words, as a table and as JSON."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.builds import broken_onnx, perturb
from toolchain.cli.main import main

NAME = "small-matting"
PART = ["--frames", "1", "--precisions", "FP32"]
FORMS = (("ONNX", "f32"), ("FP32", "f32"), ("FP32", "default"))
Capture = pytest.CaptureFixture[str]


def limited(config: Path, target: Path, inner: dict[str, str]) -> Path:
    """The small model.yml with limits on pha and, by hint, on inner tensors."""
    rows = [
        f"  - {{form: {form}, hint: {hint}, pha_mean_abs: 0.01, layers_max_rel: {inner[hint]}, "
        "reason: for tests}\n"
        for form, hint in FORMS
    ]
    target.write_text(config.read_text() + "tolerances:\n" + "".join(rows))
    return target


@pytest.fixture(scope="module")
def config(small_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("limited") / "model.yml"
    return limited(small_config, target, {"f32": "2.0e-5", "default": "0.1"})


@pytest.fixture(scope="module")
def built(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a whole build; not to be changed."""
    output = tmp_path_factory.mktemp("built") / "out"
    assert main(["build", "--config", str(config), "-o", str(output), *PART, "-q"]) == 0
    return output


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "out"))


def validate(config: Path, output: Path, *more: str) -> int:
    return main(["validate", "--config", str(config), "-o", str(output), *PART, "-q", *more])


def test_a_good_build_is_said_to_agree_in_every_layer(
    config: Path, copy: Path, capsys: Capture
) -> None:
    """Each form has its row; the findings are kept until a file that they are on changes."""
    folder = copy / "public" / NAME
    assert validate(config, copy, "--layers") == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if line.endswith("pass")]
    written = (folder / "layers.json").read_bytes()
    found = json.loads(written)
    assert found["verdict"] == "pass"
    counts = [len(form["tensors"]) for form in found["forms"]]
    assert counts[0] == found["matched"]
    assert min(counts) > 0.8 * found["matched"]  # an IR's frames are BGR 0..255 for a while
    expected = [(*form, str(count)) for form, count in zip(FORMS, counts, strict=True)]
    assert [(*row[:2], row[3]) for row in rows if row[3].isdigit()] == expected
    assert validate(config, copy, "--layers", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["layers"] == str(folder / "layers.json")
    assert {"stage": "layers", "ran": False} in [
        {key: stage[key] for key in ("stage", "ran")} for stage in said["stages"]
    ]
    assert (folder / "layers.json").read_bytes() == written
    (folder / f"{NAME}.onnx").unlink()
    assert main(["export", "--config", str(config), "-o", str(copy), "-q"]) == 0
    assert not (folder / "layers.json").exists()


def test_a_spoilt_layer_is_named_beside_the_failed_verdict(
    config: Path, copy: Path, capsys: Capture
) -> None:
    """Exit 1; the operator stands in the table's sentence and in the JSON, found by bisection."""
    onnx = copy / "public" / NAME / f"{NAME}.onnx"
    broken_onnx(onnx, onnx, perturb("decoder.conv1.weight", 1.5))
    assert validate(config, copy, "--layers", "bisect") == 1
    said = capsys.readouterr()
    assert "ONNX at f32: the first tensor over its limit is" in said.out
    assert "decoder.conv1/Conv (Conv)" in said.out
    assert "pha_mean_abs is" in said.err
    assert validate(config, copy, "--layers", "bisect", "--json") == 1
    verdict = json.loads(capsys.readouterr().out)
    firsts = {form["form"]: form["first"] for form in verdict["layers"]["forms"]}
    assert firsts["ONNX"]["node"] == "decoder.conv1/Conv"
    assert firsts["FP32"] is None


def test_inner_tensors_over_their_limit_fail_though_the_outputs_hold(
    small_config: Path, copy: Path, tmp_path: Path, capsys: Capture
) -> None:
    """Whoever asks for the layers is not told that all is well."""
    inner = {"f32": "1.0e-9", "default": "1.0e-9"}
    strict = limited(small_config, tmp_path / "model.yml", inner)
    assert validate(strict, copy, "--layers") == 1
    said = capsys.readouterr()
    assert "inner tensors differ from the original's" in said.err
    assert "verdict" in said.out


def test_a_dry_run_says_that_layers_would_be_compared(
    config: Path, built: Path, capsys: Capture
) -> None:
    """And only if they were asked for."""
    assert validate(config, built, "--dry-run", "--layers") == 0
    assert "would run  layers" in capsys.readouterr().out
    assert validate(config, built, "--dry-run") == 0
    assert "layers" not in capsys.readouterr().out
