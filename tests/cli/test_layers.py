"""`matting validate --layers`: the table, the sentences and the JSON."""

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
    """The output folder of a complete build. Read only."""
    output = tmp_path_factory.mktemp("built") / "out"
    assert main(["build", "--config", str(config), "-o", str(output), *PART, "-q"]) == 0
    return output


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "out"))


def validate(config: Path, output: Path, *more: str) -> int:
    return main(["validate", "--config", str(config), "-o", str(output), *PART, "-q", *more])


def test_a_good_build_passes_in_every_layer(config: Path, copy: Path, capsys: Capture) -> None:
    """Each variant has its row; the record is valid until a compared file changes."""
    folder = copy / "public" / NAME
    assert validate(config, copy, "--layers") == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if line.endswith("pass")]
    written = (folder / "layers.json").read_bytes()
    found = json.loads(written)
    assert found["verdict"] == "pass"
    counts = [len(form["tensors"]) for form in found["variants"]]
    assert counts[0] == found["matched"]
    assert min(counts) > 0.8 * found["matched"]  # in an IR some tensors are still BGR 0..255
    expected = [(*form, str(count)) for form, count in zip(FORMS, counts, strict=True)]
    assert [(*row[:2], row[3]) for row in rows if row[3].isdigit()] == expected
    assert validate(config, copy, "--layers", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["layers"] == str(folder / "layers.json")
    assert {"stage": "layers", "ran": False} in [
        {key: stage[key] for key in ("stage", "ran")} for stage in result["stages"]
    ]
    assert (folder / "layers.json").read_bytes() == written
    (folder / f"{NAME}.onnx").unlink()
    assert main(["export", "--config", str(config), "-o", str(copy), "-q"]) == 0
    assert not (folder / "layers.json").exists()


def test_a_changed_layer_is_named_with_the_failed_verdict(
    config: Path, copy: Path, capsys: Capture
) -> None:
    """The exit code is 1; bisection names the operator in the table and in the JSON."""
    onnx = copy / "public" / NAME / f"{NAME}.onnx"
    broken_onnx(onnx, onnx, perturb("decoder.conv1.weight", 1.5))
    assert validate(config, copy, "--layers", "bisect") == 1
    out, err = capsys.readouterr()
    assert "ONNX at f32: the first tensor over its limit is" in out
    assert "decoder.conv1/Conv (Conv)" in out
    assert "pha_mean_abs is" in err
    assert validate(config, copy, "--layers", "bisect", "--json") == 1
    verdict = json.loads(capsys.readouterr().out)
    firsts = {form["form"]: form["first"] for form in verdict["layers"]["variants"]}
    assert firsts["ONNX"]["node"] == "decoder.conv1/Conv"
    assert firsts["FP32"] is None


def test_inner_tensors_over_their_limit_fail_the_command(
    small_config: Path, copy: Path, tmp_path: Path, capsys: Capture
) -> None:
    """The exit code is 1 although the outputs are within their limits."""
    inner = {"f32": "1.0e-9", "default": "1.0e-9"}
    strict = limited(small_config, tmp_path / "model.yml", inner)
    assert validate(strict, copy, "--layers") == 1
    out, err = capsys.readouterr()
    assert "inner tensors differ from the original's" in err
    assert "verdict" in out


def test_a_dry_run_lists_the_comparison_of_layers(
    config: Path, built: Path, capsys: Capture
) -> None:
    """Only with --layers."""
    assert validate(config, built, "--dry-run", "--layers") == 0
    assert "would run  layers" in capsys.readouterr().out
    assert validate(config, built, "--dry-run") == 0
    assert "layers" not in capsys.readouterr().out
