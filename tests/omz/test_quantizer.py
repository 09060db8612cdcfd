"""omz_quantizer: flags, headings, exit codes, and the quantized IRs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino
import pytest
from PIL import Image

from tests.support.omz_models import write_model
from toolchain.frames.generated import composite
from toolchain.omz.quantizer import main

NAME = "small-matting"
LIMITS = """\
tolerances:
  - {form: FP16-INT8, hint: f32, alpha_mad_worse: 900, reason: for tests}
  - {form: FP16-INT8, hint: default, alpha_mad_worse: 900, reason: for tests}
"""


@pytest.fixture(scope="module")
def config(small_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("limited") / "model.yml"
    path.write_text(small_config.read_text() + LIMITS)
    return path


def test_each_precision_is_quantized(
    converted: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dry run changes nothing; then both results have the layout of Open Model Zoo."""
    data = tmp_path / "data"
    data.mkdir()
    for name in ("src", "bgr"):
        Image.fromarray(getattr(composite(3, 320, 192), name)).save(data / f"{name}.png")
    arguments = ["--config", str(config), "--name", NAME, "--model_dir", str(converted)]
    arguments += ["--dataset_dir", str(data), "-o", str(tmp_path / "q"), "--target_device", "cpu"]
    assert main([*arguments, "--dry_run"]) == 0
    out = capsys.readouterr().out
    assert out.count("(DRY RUN) Quantizing") == 2
    assert f"{NAME} from FP16 to FP16-INT8: would write" in out
    assert not (tmp_path / "q").exists()
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert f"========== Quantizing {NAME} from FP32 to FP32-INT8\n" in out
    core = openvino.Core()
    for precision in ("FP16-INT8", "FP32-INT8"):
        xml = tmp_path / "q" / "public" / NAME / precision / f"{NAME}.xml"
        kinds = {node.get_type_name() for node in core.read_model(xml).get_ops()}
        assert "FakeQuantize" in kinds
    assert main([*arguments, "-p", "python3"]) == 0
    assert capsys.readouterr().out.count("[ up to date ]") == 2


def test_a_model_for_another_task_is_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """That is not a failure."""
    write_model(tmp_path, "other", {})
    assert main(["--models_root", str(tmp_path), "--all"]) == 0
    out = capsys.readouterr().out
    assert out == "========== Skipping other (quantization not supported)\n\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--precisions", "FP16"], 1, "Unknown precisions specified: FP16."),
        (["--target_device", "TPU"], 1, "Unknown target device specified: TPU."),
        (["--model_dir", "nowhere", "--precisions", "FP16-INT8"], 1, "omz_converter --name"),
        (["--unknown"], 2, "unrecognized"),
    ],
)
def test_bad_arguments(
    arguments: list[str], code: int, message: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit codes of Open Model Zoo, with a message on stderr."""
    given: list[Any] = ["--config", str(config), "--all", *arguments]
    assert main(given) == code
    out, err = capsys.readouterr()
    assert message in err
    assert out == "" or out.endswith(f"FAILED:\n{NAME}\n")
