"""docs/packages.md: its commands parse, its table is complete, its code runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from toolchain.cli import main as matting
from toolchain.package.inspection import inspect_package
from toolchain.package.layouts import LAYOUTS
from toolchain.stages.unpack.request import UnpackRequest
from toolchain.stages.unpack.unpack import unpack

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "packages.md").read_text(encoding="utf-8")
NAME = "small-matting"
OTHERS = {"openssl", "model_signing", "docker", "hf", "benchmark_app"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def commands() -> list[list[str]]:
    text = "\n".join(blocks("sh")).replace("\\\n", " ")
    return [shlex.split(line, comments=True) for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_can_be_parsed(words: list[str]) -> None:
    """Ours by its own parser; of other programs, only known ones are named."""
    program, *arguments = words
    if program == "matting":
        matting.create_parser().parse_args(arguments)
    else:
        assert program in OTHERS


def test_every_layout_has_its_commands() -> None:
    """Each has a command, and the page names no other layout."""
    named = {
        words[words.index("--layout") + 1]
        for words in commands()
        if words[0] == "matting" and "--layout" in words
    }
    assert {"plain", *named} == set(LAYOUTS)


def test_the_table_lists_the_roles_of_a_package(packaged: Path) -> None:
    """Every role except those of the records, and every file."""
    listed = set(re.findall(r"\| `([a-z-]+)`[:|, ]", PAGE))
    existing = {entry.role for entry in inspect_package(packaged).manifest.files}
    assert existing - listed <= {"validation", "report"}
    for entry in inspect_package(packaged).manifest.files:
        name = entry.path.rpartition("/")[2].replace(NAME, "<name>")
        assert f"{name}`" in PAGE or name.endswith(".bin"), name


def test_the_last_snippet_loads_the_plain_layout(packaged: Path, tmp_path: Path) -> None:
    """Run as it is, except for the name."""
    unpack(UnpackRequest(packaged, tmp_path / "models"))
    code = blocks("python")[-1].replace("NAME", NAME)
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True)


def test_the_hub_snippet_requests_existing_files(packaged: Path, tmp_path: Path) -> None:
    """Run with the folder to upload instead of a download."""
    folder = unpack(UnpackRequest(packaged, tmp_path / "hub", "huggingface")).target
    code = blocks("python")[0]
    (pattern,) = re.findall(r'allow_patterns=\["(.*?)"\]', code)
    assert {path.name for path in folder.glob(pattern)} == {
        "openvino_model.xml",
        "openvino_model.bin",
    }
    code = re.sub(r"^from huggingface_hub.*$", "", code, flags=re.MULTILINE)
    code = re.sub(r"snapshot_download\(.*\)", repr(str(folder)), code)
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
