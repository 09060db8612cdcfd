"""The wheel: everything inside, usable from any folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from toolchain.catalog.builtin import builtin_config
from toolchain.catalog.reader import read_model
from toolchain.report.html import SOURCES

ROOT = Path(__file__).parents[2]
MIT = "BackgroundMattingV2-MIT.txt"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", folder, ROOT], check=True)
    (made,) = folder.glob("*.whl")
    return made


def test_model_yml_weights_card_and_licences_travel_inside(wheel: Path) -> None:
    """The wheel contains what the commands need, and no tests."""
    names = set(zipfile.ZipFile(wheel).namelist())
    model = read_model(builtin_config())
    assert model.bundled is not None
    assert {
        "toolchain/data/model.yml",
        f"toolchain/data/{model.bundled.name}",
        "toolchain/data/background-matting-mobilenetv2-bundled.md",
        "toolchain/data/published.json",
        *(f"toolchain/data/licences/{name}" for name in ("Apache-2.0.txt", MIT)),
        *(f"toolchain/data/report/{name}" for name in SOURCES),
        "toolchain/cli/main.py",
    } <= names
    licences = {Path(name).name for name in names if "/licenses/" in name}
    assert licences == {"LICENSE", MIT}
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {
        "toolchain",
        "background_matting_toolchain",
    }


def test_the_installed_wheel_works_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    """Commands find model.yml and the bundled weights where pip put them."""
    place, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", place, wheel], check=True)
    environment = {**os.environ, "PYTHONPATH": str(place)}

    def run(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=empty,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    facts = json.loads(run("toolchain", "info", "--json"))
    assert Path(facts["config"]).is_relative_to(place)
    run("toolchain", "download", "--weights", "bundled", "--quiet")
    (made,) = (empty / "build" / "public").glob("*/*.safetensors")
    assert made.stat().st_size > 1_000_000
    assert "background-matting-mobilenetv2" in run("toolchain.omz.info_dumper", "--all")
