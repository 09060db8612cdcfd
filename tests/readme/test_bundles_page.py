"""docs/bundles.md is true: its commands parse, its table fits a bundle, its code loads it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from toolchain.cli import main as matting
from toolchain.package.examine import examine
from toolchain.package.layouts import LAYOUTS
from toolchain.stages.unpack import UnpackRequest, unpack

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "bundles.md").read_text(encoding="utf-8")
NAME = "small-matting"
OTHERS = {"openssl", "model_signing", "docker", "hf", "benchmark_app"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def commands() -> list[list[str]]:
    text = "\n".join(blocks("sh")).replace("\\\n", " ")
    return [shlex.split(line, comments=True) for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_is_understood(words: list[str]) -> None:
    """Ours by its own parser; others are those that are tested or that serve what we make."""
    program, *arguments = words
    if program == "matting":
        matting._parser().parse_args(arguments)
    else:
        assert program in OTHERS


def test_every_layout_has_its_commands() -> None:
    """One to lay out each, and the page names no other."""
    named = {
        words[words.index("--layout") + 1]
        for words in commands()
        if words[0] == "matting" and "--layout" in words
    }
    assert {"plain", *named} == set(LAYOUTS)


def test_the_table_names_the_roles_of_a_bundle(bundle: Path) -> None:
    """Every role there is, but those of records that this build does not have."""
    told = set(re.findall(r"\| `([a-z-]+)`[:|, ]", PAGE))
    there = {entry.role for entry in examine(bundle).manifest.files}
    assert there - told <= {"validation", "report"}
    for entry in examine(bundle).manifest.files:
        name = entry.path.rpartition("/")[2].replace(NAME, "<name>")
        assert f"{name}`" in PAGE or name.endswith(".bin"), name


def test_the_last_snippet_loads_the_plain_layout(bundle: Path, tmp_path: Path) -> None:
    """As it stands, but for the name."""
    unpack(UnpackRequest(bundle, tmp_path / "models"))
    code = blocks("python")[-1].replace("NAME", NAME)
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True)


def test_the_hub_snippet_asks_for_files_that_are_there(bundle: Path, tmp_path: Path) -> None:
    """Loaded from the folder that would be uploaded, in the place of one downloaded."""
    folder = unpack(UnpackRequest(bundle, tmp_path / "hub", "huggingface")).target
    code = blocks("python")[0]
    (pattern,) = re.findall(r'allow_patterns=\["(.*?)"\]', code)
    assert {path.name for path in folder.glob(pattern)} == {
        "openvino_model.xml",
        "openvino_model.bin",
    }
    code = re.sub(r"^from huggingface_hub.*$", "", code, flags=re.MULTILINE)
    code = re.sub(r"snapshot_download\(.*\)", repr(str(folder)), code)
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
