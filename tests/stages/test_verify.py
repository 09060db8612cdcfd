"""Verify and unpack real bundles: the sample is run, and every layout can be loaded."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino
import pytest
from openvino import opset8
from PIL import Image

from tests.support.bundles import contents, write_small
from toolchain.errors import BundleError, UsageError, ValidationError, WorkspaceError
from toolchain.package.archive import write_archive
from toolchain.package.layouts import LAYOUTS, Layout
from toolchain.package.manifest import Manifest, entry_of, parsed
from toolchain.stages.unpack import UnpackRequest, unpack
from toolchain.stages.verify import VerifyRequest, verify

NAME = "small-matting"


def laid(bundle: Path, target: Path, layout: Layout, precision: str | None = None) -> Path:
    return unpack(UnpackRequest(bundle, target / layout, layout, precision)).target


@pytest.fixture
def plain(bundle: Path, tmp_path: Path) -> Path:
    return laid(bundle, tmp_path, "plain")


def remade(folder: Path, target: Path) -> Path:
    """An archive of what lies in a folder now, with a manifest that says so."""
    manifest: Manifest = parsed((folder / "manifest.json").read_bytes(), "here")
    data = {entry.path: (folder / entry.path).read_bytes() for entry in manifest.files}
    files = tuple(entry_of(e.path, data[e.path], e.role) for e in manifest.files)
    write_archive(replace(manifest, files=files), data, target)  # type: ignore[arg-type]
    return target


def test_the_sample_gives_what_is_expected(bundle: Path) -> None:
    """From the archive itself, each IR and output, within its limit."""
    result = verify(VerifyRequest(bundle, run=True))
    assert result.passed
    assert [(run.precision, run.output) for run in result.runs] == [
        (form, port) for form in ("FP32", "FP16") for port in ("pha", "fgr")
    ]
    assert all(run.different <= run.allowed == 0.001 for run in result.runs)


def test_other_weights_behind_a_good_manifest_are_found_by_running(
    plain: Path, tmp_path: Path
) -> None:
    """Whoever swaps an IR and seals the manifest anew is told apart by the sample."""
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})
    model = core.read_model(plain / "FP32" / f"{NAME}.xml")
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Constant" and node.data.size > 100_000:
            halved = opset8.constant(node.data * np.float32(0.5))
            for target in node.output(0).get_target_inputs():
                target.replace_source_output(halved.output(0))
    (plain / "FP32" / f"{NAME}.bin").unlink()
    openvino.save_model(model, plain / "FP32" / f"{NAME}.xml", compress_to_fp16=False)
    result = verify(VerifyRequest(remade(plain, tmp_path / "x.tar.gz"), run=True))
    assert result.findings.whole
    assert not result.passed
    assert {run.precision for run in result.runs if not run.passed} == {"FP32"}


def test_pictures_of_another_size_do_not_pass_for_the_same(plain: Path, tmp_path: Path) -> None:
    """An expected matte that is no such matte fails; a frame that does not fit is told."""
    pha = plain / "sample" / "FP16" / "pha.png"
    Image.new("L", (10, 10)).save(pha)
    result = verify(VerifyRequest(remade(plain, tmp_path / "x.tar.gz"), run=True))
    assert [(r.precision, r.output, r.different) for r in result.runs if not r.passed] == [
        ("FP16", "pha", 1.0)
    ]
    Image.new("RGB", (16, 16)).save(plain / "sample" / "src.png")
    with pytest.raises(ValidationError):
        verify(VerifyRequest(remade(plain, tmp_path / "y.tar.gz"), run=True))


def test_a_changed_bundle_is_not_run(plain: Path) -> None:
    """Nothing of what differs is loaded."""
    (plain / "FP32" / f"{NAME}.xml").write_text("<net/>")
    result = verify(VerifyRequest(plain, run=True))
    assert [change.name for change in result.findings.changed] == [f"FP32/{NAME}.xml"]
    assert (result.passed, result.runs) == (False, ())


def test_a_bundle_without_a_sample_can_not_be_run(tmp_path: Path) -> None:
    """It is told so, and can be verified all the same."""
    archive = write_small(tmp_path / "m-1.0.tar.gz")
    assert verify(VerifyRequest(archive)).passed
    with pytest.raises(BundleError, match="no sample"):
        verify(VerifyRequest(archive, run=True))


def test_a_device_that_is_not_there_is_told(plain: Path) -> None:
    """By OpenVINO's own words, in one sentence."""
    with pytest.raises(ValidationError, match="can't run it on NPU9"):
        verify(VerifyRequest(plain, run=True, device="NPU9"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_verifies_and_runs(layout: Layout, bundle: Path, tmp_path: Path) -> None:
    """Its own manifest names its files, and its sample is of the IRs that are there."""
    folder = laid(bundle, tmp_path, layout)
    result = verify(VerifyRequest(folder, run=True))
    assert result.passed
    forms = ["FP16"] if layout == "ovms" else ["FP32", "FP16"]
    assert list(dict.fromkeys(run.precision for run in result.runs)) == forms
    (folder / "more").write_text("x")
    assert verify(VerifyRequest(folder)).findings.extra == ("more",)


def test_the_model_server_finds_a_numbered_version(bundle: Path, tmp_path: Path) -> None:
    """config.json names every folder beside it that holds one IR below a whole number."""
    folder = laid(bundle, tmp_path, "ovms", "FP32")
    (entry,) = json.loads((folder / "config.json").read_text())["model_config_list"]
    name, base = entry["config"]["name"], Path(entry["config"]["base_path"])
    assert (name, base.parent) == (NAME, Path("/models"))
    version = folder / base.name / "1"
    assert [path.name for path in (folder / base.name).iterdir()] == ["1"]
    assert sorted(path.name for path in version.iterdir()) == [f"{NAME}.bin", f"{NAME}.xml"]
    assert (version / f"{NAME}.bin").stat().st_size > 15_000_000
    openvino.compile_model(version / f"{NAME}.xml", "CPU")


def test_the_hub_finds_card_licence_and_models(bundle: Path, tmp_path: Path) -> None:
    """At the top, under the names its tools look for; large files outside git."""
    folder = laid(bundle, tmp_path, "huggingface")
    top = {path.name for path in folder.iterdir() if path.is_file()}
    assert {"README.md", "LICENSE", "openvino_model.xml", "openvino_model.bin"} <= top
    for model in ("openvino_model.xml", "FP32/openvino_model.xml", "onnx/model.onnx"):
        openvino.compile_model(folder / model, "CPU")
    attributes = (folder / ".gitattributes").read_text()
    assert {line.split()[0] for line in attributes.splitlines()} == {"*.bin", "*.onnx", "*.png"}


def test_the_incumbent_s_layout_is_that_of_a_build(
    bundle: Path, reported: Path, tmp_path: Path
) -> None:
    """The same paths below public/; OpenVINO's own benchmark loads the IR from there."""
    folder = laid(bundle, tmp_path, "omz")
    ours, built = contents(folder / "public" / NAME), contents(reported)
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


def test_a_folder_can_be_laid_out_anew_if_it_is_plain(plain: Path, tmp_path: Path) -> None:
    """As from the archive; another layout has lost names and is refused."""
    folder = laid(plain, tmp_path, "huggingface")
    assert verify(VerifyRequest(folder)).passed
    with pytest.raises(BundleError, match="laid out for huggingface, expected plain"):
        unpack(UnpackRequest(folder, tmp_path / "again", "ovms"))
    assert not (tmp_path / "again").exists()


def test_precisions_are_chosen_where_there_is_a_choice(bundle: Path, tmp_path: Path) -> None:
    """Of those in the bundle, for layouts with room for one; otherwise bad arguments."""
    asked = (("ovms", "INT4", "holds FP16, FP32"), ("omz", "FP16", "has room for all"))
    for layout, precision, said in asked:
        with pytest.raises(UsageError, match=said):
            laid(bundle, tmp_path, layout, precision)  # type: ignore[arg-type]
    folder = laid(bundle, tmp_path, "huggingface", "FP32")
    assert (folder / "openvino_model.bin").stat().st_size > 15_000_000
    assert (folder / "FP16" / "openvino_model.bin").exists()


def test_a_target_that_holds_something_is_left_alone(bundle: Path, tmp_path: Path) -> None:
    """An empty folder is filled; a file, a link or a folder with files is not touched."""
    (tmp_path / "empty").mkdir()
    assert unpack(UnpackRequest(bundle, tmp_path / "empty")).target == tmp_path / "empty"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for target in (tmp_path / "full", tmp_path / "full" / "mine", tmp_path / "link"):
        with pytest.raises(WorkspaceError, match="not an empty folder"):
            unpack(UnpackRequest(bundle, target))
    assert contents(tmp_path / "full") == {"mine": b"x"}


def test_nothing_is_left_where_unpacking_fails(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills half-way leaves no folder and no scratch."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(WorkspaceError, match="No space left"):
        unpack(UnpackRequest(bundle, tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []
