"""Verification of real packages: the sample is run, and every layout can be verified."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino
import pytest
from openvino import opset8
from PIL import Image

from tests.support.keys import write_keys
from tests.support.packages import write_small
from toolchain.errors import FrameError, PackageFormatError, ValidationError
from toolchain.package.archive import write_archive
from toolchain.package.layouts import LAYOUTS, Layout
from toolchain.package.manifest import make_entry, parse_manifest
from toolchain.package.signing import sign_folder, verify_signature
from toolchain.stages.unpack.request import UnpackRequest
from toolchain.stages.unpack.unpack import unpack
from toolchain.stages.verify import sample
from toolchain.stages.verify import verify as verify_module
from toolchain.stages.verify.request import VerifyRequest
from toolchain.stages.verify.verify import verify

NAME = "small-matting"


@pytest.fixture
def plain(packaged: Path, tmp_path: Path) -> Path:
    """The package, unpacked."""
    return unpack(UnpackRequest(packaged, tmp_path / "plain")).target


def package_again(folder: Path, target: Path) -> Path:
    """Write an archive of a changed folder, with a valid manifest."""
    manifest = parse_manifest((folder / "manifest.json").read_bytes(), "here")
    data = {entry.path: (folder / entry.path).read_bytes() for entry in manifest.files}
    files = tuple(make_entry(e.path, data[e.path], e.role) for e in manifest.files)
    write_archive(replace(manifest, files=files), data, target)
    return target


def test_the_sample_gives_the_expected_outputs(packaged: Path) -> None:
    """Each output of each IR is within its limit."""
    result = verify(VerifyRequest(packaged, run=True))
    assert result.passed
    assert [(run.precision, run.output) for run in result.runs] == [
        (form, port) for form in ("FP32", "FP16") for port in ("pha", "fgr")
    ]
    assert all(run.different <= run.allowed == 0.001 for run in result.runs)


def test_other_weights_behind_a_good_manifest_are_found_by_running(
    plain: Path, tmp_path: Path
) -> None:
    """Replaced weights with an updated manifest fail the comparison of the sample."""
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
    result = verify(VerifyRequest(package_again(plain, tmp_path / "x.tar.gz"), run=True))
    assert result.findings.intact
    assert not result.passed
    assert {run.precision for run in result.runs if not run.passed} == {"FP32"}


def test_images_of_another_size_fail(plain: Path, tmp_path: Path) -> None:
    """An expected matte of another size fails; a frame of another size is an error."""
    pha = plain / "sample" / "FP16" / "pha.png"
    Image.new("L", (10, 10)).save(pha)
    result = verify(VerifyRequest(package_again(plain, tmp_path / "x.tar.gz"), run=True))
    assert [(r.precision, r.output, r.different) for r in result.runs if not r.passed] == [
        ("FP16", "pha", 1.0)
    ]
    Image.new("RGB", (16, 16)).save(plain / "sample" / "src.png")
    with pytest.raises(ValidationError, match="the images are 16x16"):
        verify(VerifyRequest(package_again(plain, tmp_path / "y.tar.gz"), run=True))


@pytest.mark.parametrize("mode", ["L", "I;16", "RGBA", "P"])
def test_a_sample_with_other_channels_is_an_error(plain: Path, tmp_path: Path, mode: str) -> None:
    """The message says which channels were expected."""
    Image.new(mode, (256, 256)).save(plain / "sample" / "src.png")
    with pytest.raises(FrameError, match="expected RGB of 8 bits"):
        verify(VerifyRequest(package_again(plain, tmp_path / "x.tar.gz"), run=True))


def test_a_model_of_another_size_is_refused_before_it_is_compiled(
    plain: Path, tmp_path: Path
) -> None:
    """An IR that declares many rows would need memory without a limit."""
    xml = plain / "FP16" / f"{NAME}.xml"
    text = xml.read_text()
    xml.write_text(re.sub(r'shape="1,(3,)?[0-9]+,', r'shape="1,\g<1>720000,', text))
    assert xml.read_text() != text
    with pytest.raises(ValidationError, match=r"720000|cannot run it"):
        verify(VerifyRequest(package_again(plain, tmp_path / "x.tar.gz"), run=True))


def test_memory_of_the_run_is_limited(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that needs more is refused, and this process goes on."""
    monkeypatch.setattr(sample, "MEMORY_LIMIT", 300 << 20)
    with pytest.raises((PackageFormatError, ValidationError)):
        verify(VerifyRequest(plain, run=True))


def test_a_change_after_the_check_has_no_effect(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signature and sample are checked on a private copy."""
    private, public = write_keys(tmp_path)
    sign_folder(plain, private, tmp_path / "m.sig")

    def change(folder: Path, *rest: object) -> object:
        (plain / "FP16" / f"{NAME}.xml").write_text("<net/>")
        return verify_signature(folder, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(verify_module, "verify_signature", change)
    (plain / ".cache" / "huggingface").mkdir(parents=True)
    (plain / ".cache" / "huggingface" / "x").write_text("of the Hub's client")
    request = VerifyRequest(plain, run=True, key=public, signature=tmp_path / "m.sig")
    result = verify(request)
    assert (result.passed, result.signed) == (True, True)


def test_a_changed_package_is_not_run(plain: Path) -> None:
    """The differences are reported instead."""
    (plain / "FP32" / f"{NAME}.xml").write_text("<net/>")
    result = verify(VerifyRequest(plain, run=True))
    assert [change.name for change in result.findings.changed] == [f"FP32/{NAME}.xml"]
    assert (result.passed, result.runs) == (False, ())


def test_a_package_without_a_sample_cannot_be_run(tmp_path: Path) -> None:
    """It can be verified without --run."""
    archive = write_small(tmp_path / "m-1.0.tar.gz")
    assert verify(VerifyRequest(archive)).passed
    with pytest.raises(PackageFormatError, match="no sample"):
        verify(VerifyRequest(archive, run=True))


def test_an_unknown_device_is_an_error(plain: Path) -> None:
    """The message names the device."""
    with pytest.raises(ValidationError, match="NPU9"):
        verify(VerifyRequest(plain, run=True, device="NPU9"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_verifies_and_runs(layout: Layout, packaged: Path, tmp_path: Path) -> None:
    """Its own manifest lists its files, and its sample covers the IRs of the layout."""
    folder = unpack(UnpackRequest(packaged, tmp_path / "out", layout)).target
    result = verify(VerifyRequest(folder, run=True))
    assert result.passed
    forms = ["FP16"] if layout == "ovms" else ["FP32", "FP16"]
    assert list(dict.fromkeys(run.precision for run in result.runs)) == forms
    (folder / "more").write_text("x")
    assert verify(VerifyRequest(folder)).findings.extra == ("more",)
