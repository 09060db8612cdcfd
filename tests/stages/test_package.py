"""Packaging: validated builds only, reproducible, with card, SBOM, sample and licences."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from huggingface_hub import ModelCard
from PIL import Image

from tests.support.packages import flip_bit, read_contents
from tests.support.records import evaluation
from toolchain.catalog.builtin import find_licences, read_published_accuracy
from toolchain.catalog.reader import read_model
from toolchain.definitions import schemas
from toolchain.errors import PackageError
from toolchain.network.profile import profile
from toolchain.package.inspection import inspect_package
from toolchain.package.layouts import list_precisions
from toolchain.stages.package import sample
from toolchain.stages.package.package import package
from toolchain.stages.package.request import PackageRequest
from toolchain.stages.unpack.request import UnpackRequest
from toolchain.stages.unpack.unpack import unpack
from toolchain.workspace.atomic import write_json
from toolchain.workspace.digests import file_digest
from toolchain.workspace.layout import Layout
from toolchain.workspace.ledger import Ledger

ROOT = Path(__file__).parents[2]
NAME = "small-matting"


@pytest.fixture(scope="module")
def plain(packaged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, unpacked."""
    return unpack(UnpackRequest(packaged, tmp_path_factory.mktemp("plain") / "out")).target


@pytest.fixture
def build(reported: Path, tmp_path: Path) -> PackageRequest:
    """A request for a copy of the build that the test may change."""
    place = Path(shutil.copytree(reported.parents[2], tmp_path / "place"))
    layout = Layout(place / "out", f"public/{NAME}", NAME)
    return PackageRequest(read_model(place / "model.yml"), layout, "1.2", tmp_path / "dist")


def front_matter(card: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return found


def test_the_package_contains_the_build_and_its_description(
    packaged: Path, plain: Path, reported: Path
) -> None:
    """Models and records are unchanged; card, licences, SBOM and sample are added."""
    found = inspect_package(packaged)
    assert found.intact
    assert packaged.name == f"{NAME}-1.2.tar.gz"
    roles = {entry.path: entry.role for entry in found.manifest.files}
    same = [path for path, role in roles.items() if role in ("ir", "onnx", "validation", "report")]
    assert len(same) == 8
    for path in same:
        assert (plain / path).read_bytes() == (reported / path).read_bytes()
    assert (plain / "model.yml").read_bytes() == (reported.parents[2] / "model.yml").read_bytes()
    for name, licence in zip(("LICENSE", "LICENSE.toolchain"), find_licences(), strict=True):
        assert (plain / name).read_bytes() == licence.file.read_bytes()
    assert [path for path, role in roles.items() if role == "sample-output"] == [
        f"sample/{form}/{port}.png" for form in ("FP16", "FP32") for port in ("fgr", "pha")
    ]
    assert list_precisions(found.manifest) == ("FP16", "FP32")


def test_the_manifest_records_source_parameters_and_tools(plain: Path, reported: Path) -> None:
    """With the values of validation.json."""
    manifest = json.loads((plain / "manifest.json").read_text())
    verdict = json.loads((reported / "validation.json").read_text())
    assert manifest["source"]["sha384"] == verdict["facts"]["checkpoint_sha384"]
    assert manifest["parameters"]["export"] == verdict["settings"]
    assert manifest["config"] == "model.yml"
    assert verdict["tools"].items() <= manifest["tools"].items()
    for entry in manifest["files"]:
        path = plain / entry["path"]
        assert path.stat().st_size == entry["size"]
        for kind in ("sha256", "sha384"):
            assert file_digest(path, kind).value == entry[kind]


def test_nothing_of_this_machine_is_in_the_package(plain: Path, reported: Path) -> None:
    """No folder of this machine is named except in model.yml, which is the user's own."""
    local = [str(reported.parents[2]).encode(), str(ROOT).encode(), str(Path.home()).encode()]
    for path, data in read_contents(plain).items():
        if path != "model.yml":
            assert not [word for word in local if word != b"/root" and word in data], path


# Another user, where this process may change its user.
OWNER = {"user": 65_534, "group": 65_534} if getattr(os, "geteuid", lambda: 1)() == 0 else {}


def _can_start_python(owner: dict[str, int]) -> bool:
    try:
        done = subprocess.run(
            [sys.executable, "-c", "import openvino, toolchain"],
            cwd=ROOT,
            capture_output=True,
            check=False,
            **owner,  # type: ignore[call-overload]
        )
    except OSError:
        return False
    return done.returncode == 0


PACKAGING = """
import os, sys
os.umask(int(sys.argv[1], 8))
from toolchain.cli.main import main
sys.exit(main(sys.argv[2:]))
"""


def test_another_user_umask_folder_and_time_give_the_same_bytes(
    packaged: Path, reported: Path
) -> None:
    """A copy of the build with another owner, modes and times is packaged by another process.

    The process runs as another user if that user can start this Python.
    """
    place = Path(tempfile.mkdtemp(prefix="another-"))
    try:
        shutil.copytree(reported.parents[2], place, dirs_exist_ok=True)
        for number, path in enumerate([place, *sorted(place.rglob("*"))]):
            path.chmod(0o777 if path.is_dir() else 0o666)
            os.utime(path, (1e9 + number, 1e9 + number))
            if OWNER:
                os.chown(path, *OWNER.values())
        environment = {**os.environ, "HOME": str(place), "TZ": "Asia/Tokyo", "LC_ALL": "C"}
        options = ["--config", place / "model.yml", "-o", place / "out", "--version", "1.2"]
        done = subprocess.run(
            [sys.executable, "-c", PACKAGING, "077", "package", *options, "--to", place / "d"],
            cwd=place,
            env={**environment, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            **(OWNER if _can_start_python(OWNER) else {}),  # type: ignore[call-overload]
        )
        assert done.returncode == 0, done.stderr
        assert (place / "d" / packaged.name).read_bytes() == packaged.read_bytes()
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _fail_verdict(request: PackageRequest) -> None:
    verdict = json.loads(request.layout.validation.read_text())
    write_json(request.layout.validation, {**verdict, "verdict": "fail"})


def _edit_verdict(request: PackageRequest) -> None:
    text = request.layout.validation.read_text()
    request.layout.validation.write_text(text.replace('"cores"', '"CORES"'))


def _change_model(request: PackageRequest) -> None:
    path = request.layout.ir("FP16").with_suffix(".bin")
    path.write_bytes(flip_bit(path.read_bytes(), 99))


def _remove_from_verdict(request: PackageRequest) -> None:
    """Remove an IR from the verdict, and record the verdict as unchanged."""
    path = request.layout.validation
    verdict = json.loads(path.read_text())
    del verdict["files"][f"FP16/{NAME}.xml"]
    write_json(path, verdict)
    Ledger(request.layout.folder).enter("validate", "key", [path], {})


REFUSED: dict[str, tuple[Callable[[PackageRequest], object], str]] = {
    "not validated": (lambda r: r.layout.validation.unlink(), "has not been validated"),
    "failed": (_fail_verdict, "the verdict is fail"),
    "edited verdict": (_edit_verdict, "changed since validate wrote it"),
    "no record": (
        lambda r: (r.layout.folder / ".stages" / "validate.json").unlink(),
        "changed since validate wrote it",
    ),
    "changed model": (_change_model, r"\.bin: changed since it was validated"),
    "lost model": (lambda r: r.layout.onnx.unlink(), "removed since it was validated"),
    "not covered": (_remove_from_verdict, "not covered by the validation"),
    "no report": (lambda r: r.layout.report.unlink(), r"report\.html: file not found"),
    "edited report": (
        lambda r: r.layout.report.write_text("PASS"),
        "changed since report wrote it",
    ),
    "no json": (lambda r: r.layout.validation.write_text("{"), "not a readable record"),
    "a list": (lambda r: r.layout.validation.write_text("[]"), "not a readable record"),
    "another schema": (
        lambda r: r.layout.validation.write_text('{"schema": 9}'),
        f"schema 9, expected {schemas.VALIDATION}",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_build_that_did_not_pass_or_was_changed_is_refused(
    kind: str, build: PackageRequest
) -> None:
    """Nothing is written, and an existing archive is kept."""
    break_it, message = REFUSED[kind]
    break_it(build)
    build.target.mkdir()
    existing = build.target / f"{NAME}-1.2.tar.gz"
    existing.write_bytes(b"the last good one")
    with pytest.raises(PackageError, match=message) as error:
        package(build)
    assert error.value.kept == "Nothing was packaged."
    assert "matting build" in error.value.hint or "Build it again" in error.value.hint
    assert read_contents(build.target) == {existing.name: b"the last good one"}


def test_another_model_yml_is_refused(build: PackageRequest) -> None:
    """One with another licence."""
    model = replace(build.model, license_url="https://example.org/OTHER")
    with pytest.raises(PackageError, match=r"not the model\.yml of this build"):
        package(replace(build, model=model))


def test_a_signature_of_an_earlier_archive_is_removed(build: PackageRequest) -> None:
    """It would not match the new archive."""
    build.target.mkdir()
    old = build.target / f"{NAME}-1.2.tar.gz.sig"
    old.write_bytes(b"old")
    assert package(build).signature is None
    assert not old.exists()


def test_the_hub_reads_the_card_s_front_matter(plain: Path) -> None:
    """Its own library finds licence, task, library and results."""
    card = ModelCard.load(plain / "README.md")
    assert card.data.license == "mit"
    assert card.data.library_name == "openvino"
    assert card.data.pipeline_tag == "image-segmentation"
    assert "background-matting" in card.data.tags
    verdict = json.loads((plain / "validation.json").read_text())
    measured = {
        f"{metric} ({run['form']})": value
        for run in verdict["runs"]
        if run["hint"] == "f32" and run["form"] != "ONNX"
        for metric, value in run["metrics"].items()
    }
    results = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert results == measured


def test_every_figure_of_the_card_is_counted_or_recorded(plain: Path) -> None:
    """GFlops and MParams from the network, accuracy from validation and published table."""
    card = (plain / "README.md").read_text(encoding="utf-8")
    verdict = json.loads((plain / "validation.json").read_text())
    found = profile(320, 192, 0.25, "sampling", 8000)
    assert f"| GFlops | {found.flops / 1e9:.3f} |" in card
    assert f"| MParams | {found.parameters / 1e6:.3f} |" in card
    assert found.counted in card
    (row,) = re.findall(r"^\| alpha MAD.*$", card, re.MULTILINE)
    cells = [cell.strip() for cell in row.strip("|").split("|")][1:]
    measured = [run["metrics"]["alpha_mad"] for run in verdict["runs"]]
    expected = [verdict["original"]["metrics"]["alpha_mad"], *measured]
    assert cells[:-2] == [f"{value:.3f}" for value in expected]
    published = read_published_accuracy()
    assert cells[-2:] == [
        str(published.original["alpha_mad"]),
        str(published.converted["alpha_mad"]),
    ]
    for path in (f"{NAME}.onnx", f"FP32/{NAME}.xml", f"FP16/{NAME}.xml"):
        assert f"`{path}`" in card
    assert "| `src` | input | 1 x 3 x 192 x 320 | f32 | NCHW | RGB | 0..1 |" in card
    assert "| `src` | input | 1 x 3 x 192 x 320 | f32 | NCHW | BGR | 0..255 |" in card
    assert card.count("| `fgr` | output | 1 x 3 x 192 x 320 | f32 | NCHW | RGB | 0..1 |") == 2
    assert verdict["facts"]["checkpoint_sha384"] in card


def test_the_card_s_code_gives_the_expected_matte(plain: Path, tmp_path: Path) -> None:
    """Run in the package's folder, it writes the image that is in the sample."""
    card = (plain / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    copy = Path(shutil.copytree(plain, tmp_path / "copy"))
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=copy, check=True)
    made, expected = (
        np.asarray(Image.open(copy / name), np.int16)
        for name in ("alpha.png", "sample/FP16/pha.png")
    )
    assert np.abs(made - expected).max() <= 1
    assert expected.std() > 10


def test_the_card_shows_the_evaluation_if_there_is_one(build: PackageRequest) -> None:
    """Its means and its data set; an evaluation of other weights is refused."""
    layout = build.layout
    verdict = json.loads(layout.validation.read_text())
    record = evaluation(verdict)
    write_json(layout.evaluation, record)
    made = package(build)
    plain = unpack(UnpackRequest(made.archive, build.target / "out")).target
    results = front_matter((plain / "README.md").read_text())["model-index"][0]["results"][0]
    data = record["dataset"]
    assert results["dataset"]["name"] == f"{data['name']}, {data['frames']} frames"
    (fp32,) = (entry for entry in record["models"] if entry["form"] == "FP32")
    assert [metric["value"] for metric in results["metrics"]] == [
        cell["mean"] for cell in fp32["total"].values()
    ]
    assert (plain / "evaluation.json").read_bytes() == layout.evaluation.read_bytes()
    facts = {**record["facts"], "checkpoint_sha384": "0" * 96}
    write_json(layout.evaluation, {**record, "facts": facts})
    with pytest.raises(PackageError, match="for another checkpoint"):
        package(build)


def test_the_sbom_is_valid_and_lists_model_files_source_and_tools(plain: Path) -> None:
    """Checked with the strict schema of CycloneDX."""
    text = (plain / "sbom.cdx.json").read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    sbom = json.loads(text)
    model = sbom["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == (
        "machine-learning-model",
        NAME,
        "1.2",
    )
    assert model["licenses"] == [{"license": {"id": "MIT"}}]
    manifest = json.loads((plain / "manifest.json").read_text())
    sums = {entry["path"]: entry["sha256"] for entry in manifest["files"]}
    listed = {part["name"]: part["hashes"][0]["content"] for part in model["components"]}
    assert listed == {path: sums[path] for path in listed}
    assert len(listed) == 5
    tools = {tool["name"]: tool["version"] for tool in sbom["metadata"]["tools"]["components"]}
    assert {**manifest["tools"]}.items() - tools.items() == {
        ("toolchain", manifest["tools"]["toolchain"])
    }
    (source,) = sbom["components"]
    assert source["hashes"][0]["content"] == manifest["source"]["sha384"]
    assert model["modelCard"]["modelParameters"]["inputs"][0] == {
        "format": "src: f32 1x3x192x320 NCHW BGR 0..255"
    }
    assert "timestamp" not in sbom["metadata"]


def test_the_share_of_other_patches_is_that_of_the_validation() -> None:
    """The bound of the same precision and hint; else a default."""
    limits = {"bounds": {"different_patches": 0.25}}
    runs = [
        {"form": "FP32", "hint": "f32", "limits": None},
        {"form": "FP16", "hint": "f32", "limits": limits},
    ]
    build: Any = SimpleNamespace(validation={"runs": runs})
    assert sample._get_allowed_share(build, "FP16") == 0.25
    assert sample._get_allowed_share(build, "FP32") == sample.DIFFERENT_PATCHES
