"""Unpacking of real packages: each layout can be loaded by the tool it is for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import openvino
import pytest

from tests.support.packages import read_contents
from toolchain.errors import PackageFormatError, UsageError, WorkspaceError
from toolchain.package.layouts import Layout
from toolchain.stages.unpack.request import UnpackRequest
from toolchain.stages.unpack.unpack import unpack
from toolchain.stages.verify.request import VerifyRequest
from toolchain.stages.verify.verify import verify
from toolchain.workspace.unpacking import staging_folder

NAME = "small-matting"


def unpack_as(package: Path, target: Path, layout: Layout, precision: str | None = None) -> Path:
    return unpack(UnpackRequest(package, target / layout, layout, precision)).target


def test_the_model_server_finds_a_numbered_version(packaged: Path, tmp_path: Path) -> None:
    """config.json refers to a folder that contains one IR below a version number."""
    folder = unpack_as(packaged, tmp_path, "ovms", "FP32")
    (entry,) = json.loads((folder / "config.json").read_text())["model_config_list"]
    name, base = entry["config"]["name"], Path(entry["config"]["base_path"])
    assert (name, base.parent) == (NAME, Path("/models"))
    version = folder / base.name / "1"
    assert [path.name for path in (folder / base.name).iterdir()] == ["1"]
    assert sorted(path.name for path in version.iterdir()) == [f"{NAME}.bin", f"{NAME}.xml"]
    assert (version / f"{NAME}.bin").stat().st_size > 15_000_000
    openvino.compile_model(version / f"{NAME}.xml", "CPU")


def test_the_hub_finds_card_licence_and_models(packaged: Path, tmp_path: Path) -> None:
    """They have the names that its tools expect; large files are stored outside git."""
    folder = unpack_as(packaged, tmp_path, "huggingface")
    top = {path.name for path in folder.iterdir() if path.is_file()}
    assert {"README.md", "LICENSE", "openvino_model.xml", "openvino_model.bin"} <= top
    for model in ("openvino_model.xml", "FP32/openvino_model.xml", "onnx/model.onnx"):
        openvino.compile_model(folder / model, "CPU")
    attributes = (folder / ".gitattributes").read_text()
    assert {line.split()[0] for line in attributes.splitlines()} == {"*.bin", "*.onnx", "*.png"}


def test_the_layout_of_open_model_zoo_is_that_of_a_build(
    packaged: Path, reported: Path, tmp_path: Path
) -> None:
    """The paths below public/ are the same; benchmark_app loads the IR from there."""
    folder = unpack_as(packaged, tmp_path, "omz")
    ours, built = read_contents(folder / "public" / NAME), read_contents(reported)
    models = [name for name in built if name.endswith((".xml", ".bin", ".onnx"))]
    assert len(models) == 5
    assert all(ours[name] == built[name] for name in models)
    tool = Path(sys.executable).with_name("benchmark_app")
    if not tool.exists():
        pytest.skip("no benchmark_app")
    xml = folder / "public" / NAME / "FP16" / f"{NAME}.xml"
    command = [tool, "-m", xml, "-d", "CPU", "-niter", "1", "-hint", "none", "-nstreams", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_plain_folder_can_be_unpacked_again(packaged: Path, tmp_path: Path) -> None:
    """Like the archive; a folder in another layout is refused."""
    folder = unpack_as(unpack_as(packaged, tmp_path, "plain"), tmp_path, "huggingface")
    assert verify(VerifyRequest(folder)).passed
    with pytest.raises(PackageFormatError, match="has the layout huggingface, expected plain"):
        unpack(UnpackRequest(folder, tmp_path / "again", "ovms"))
    assert not (tmp_path / "again").exists()


def test_a_precision_can_be_chosen_for_some_layouts(packaged: Path, tmp_path: Path) -> None:
    """Any in the package, for ovms and huggingface; otherwise it is a usage error."""
    refused = (("ovms", "INT4", "contains FP16, FP32"), ("omz", "FP16", "contains all of them"))
    for layout, precision, message in refused:
        with pytest.raises(UsageError, match=message):
            unpack_as(packaged, tmp_path, layout, precision)  # type: ignore[arg-type]
    folder = unpack_as(packaged, tmp_path, "huggingface", "FP32")
    assert (folder / "openvino_model.bin").stat().st_size > 15_000_000
    assert (folder / "FP16" / "openvino_model.bin").exists()


def test_a_target_that_is_not_empty_is_refused(packaged: Path, tmp_path: Path) -> None:
    """An empty folder is accepted; a file, a link or a folder with files is not changed."""
    (tmp_path / "empty").mkdir()
    assert unpack(UnpackRequest(packaged, tmp_path / "empty")).target == tmp_path / "empty"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for target in (tmp_path / "full", tmp_path / "full" / "mine", tmp_path / "link"):
        with pytest.raises(WorkspaceError, match="not an empty folder"):
            unpack(UnpackRequest(packaged, target))
    assert read_contents(tmp_path / "full") == {"mine": b"x"}


def test_folders_of_killed_runs_are_removed(packaged: Path, tmp_path: Path) -> None:
    """A run that was killed leaves a hidden folder, which the next one with this target removes."""
    code = (
        "import os, sys, pathlib; from toolchain.workspace.unpacking import staging_folder\n"
        "with staging_folder(pathlib.Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "out"], check=False)
    assert [path.name[:5] for path in tmp_path.iterdir()] == [".out."]
    with staging_folder(tmp_path / "out") as used, staging_folder(tmp_path / "out"):
        assert used.is_dir()  # one that is in use stays
    unpack(UnpackRequest(packaged, tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failed_unpacking_leaves_no_files(
    packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk is full, neither the target nor temporary files remain."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(WorkspaceError, match="No space left"):
        unpack(UnpackRequest(packaged, tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []
