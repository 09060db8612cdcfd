"""omz_info_dumper: the JSON array."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.omz_models import ONNX, write_composite, write_model
from toolchain.omz.info_dumper import main

NAME = "background-matting-mobilenetv2"
KEYS = [
    "name",
    "composite_model_name",
    "description",
    "framework",
    "license_url",
    "accuracy_config",
    "model_config",
    "precisions",
    "subdirectory",
    "task_type",
    "input_info",
    "model_stages",
]


def test_all_prints_an_array_with_the_known_keys(capsys: pytest.CaptureFixture[str]) -> None:
    """Keys in order, indent 4, one final newline, nothing on stderr."""
    assert main(["--all"]) == 0
    out, err = capsys.readouterr()
    (model,) = json.loads(out)
    assert list(model) == KEYS
    assert out == json.dumps([model], indent=4) + "\n"
    assert err == ""
    assert model["name"] == NAME
    assert model["precisions"] == ["FP16", "FP32"]
    assert model["input_info"][0] == {"name": "src", "shape": [1, 3, 720, 1280], "layout": "NCHW"}
    assert model["subdirectory"] == str(Path("public", NAME))
    assert model["accuracy_config"] is None


def test_a_collection_shows_stages_and_absent_parts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A composite model has stages and no config of its own; absent shape and layout are empty."""
    folder = write_model(tmp_path, "pair/pair-1", {}, **ONNX)
    (folder / "accuracy-check.yml").touch()
    write_composite(tmp_path, "pair", ["pair-1"])
    assert main(["--all", "--models_root", str(tmp_path)]) == 0
    (pair,) = json.loads(capsys.readouterr().out)
    assert (pair["composite_model_name"], pair["model_config"]) == ("pair", None)
    (stage,) = pair["model_stages"]
    assert list(stage) == KEYS
    assert stage["composite_model_name"] == "pair"
    assert stage["input_info"] == [{"name": "x", "shape": [], "layout": ""}]
    assert stage["model_config"] == str(folder / "model.yml")
    assert stage["accuracy_config"] == str(folder / "accuracy-check.yml")


def test_start_up_imports_nothing_heavy() -> None:
    """The command loads no library for tensors, downloads or progress bars."""
    code = (
        "import sys, toolchain.omz.info_dumper as command; command.main(['--all']);"
        "heavy = {'torch', 'openvino', 'onnx', 'numpy', 'requests', 'rich'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
