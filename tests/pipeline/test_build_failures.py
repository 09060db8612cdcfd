"""Builds that cannot be made, or that fail: the message, and what is kept."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import openvino
import pytest

from tests.support.building import (
    NAME,
    PROMISED,
    build_as_planned,
    contents,
    ran,
    small_request,
)
from toolchain.catalog.records import Limit, Limits
from toolchain.cli.main import main
from toolchain.errors import (
    CatalogError,
    CheckpointError,
    ReportError,
    ToolchainError,
    ValidationError,
)
from toolchain.pipeline.build import build, plan_build
from toolchain.pipeline.request import BuildRequest
from toolchain.pipeline.weights import choose_weights
from toolchain.progress import SilentListener


def test_a_stage_alone_names_the_missing_file(
    config: Path, tmp_path: Path, copy: BuildRequest
) -> None:
    """A plan and a run give the same message, and leave no folder behind."""
    for request in (
        small_request(config, tmp_path / "none", stages=("export",)),
        replace(copy, stages=("convert",)),
    ):
        request.layout.onnx.unlink(missing_ok=True)
        with pytest.raises(ToolchainError, match="not found") as planned:
            plan_build(request)
        with pytest.raises(ToolchainError) as real:
            build(request)
        assert real.value.message == planned.value.message
    assert not (tmp_path / "none" / "public" / NAME / f"{NAME}.onnx").exists()


@pytest.mark.parametrize(
    ("argument", "wrong"),
    [("--scale=255", "--scale=none"), ("--refine-mode=sampling", "--refine-mode=magic")],
)
def test_invalid_arguments_are_reported_before_anything_is_fetched(
    argument: str, wrong: str, config: Path, tmp_path: Path
) -> None:
    """A mistake that only matters to a late stage is reported at once, with its place."""
    bad = tmp_path / "model.yml"
    bad.write_text(config.read_text().replace(argument, wrong))
    request = small_request(bad, tmp_path / "out")
    for start in (plan_build, build):
        with pytest.raises(CatalogError, match=rf"{re.escape(str(bad))}:\d+:\d+: .*_args"):
            start(request)
    assert not (tmp_path / "out").exists()


def test_a_failed_validation_fails_until_it_passes(
    copy: BuildRequest, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1 and a verdict that is never up to date; with fair limits it passes."""
    strict = tmp_path / "model.yml"
    strict.write_text(config.read_text().replace("pha_max_abs: 2e-05", "pha_max_abs: 0"))
    arguments = ["build", "-o", str(copy.output), "--frames", "1", "-q", "--config"]
    verdict = copy.layout.validation
    assert main([*arguments, str(strict)]) == 1
    err = capsys.readouterr().err
    assert "pha_max_abs is" in err
    assert "report.html shows what differs" in err
    assert json.loads(verdict.read_text())["verdict"] == "fail"
    written = verdict.read_bytes()
    assert main([*arguments, str(strict), "--dry-run"]) == 0
    assert "would run  validate" in capsys.readouterr().out
    assert verdict.read_bytes() == written
    report = copy.layout.report
    assert report.is_file()
    assert copy.layout.report_text.read_text().startswith(f"# \u274c FAIL: {NAME}")
    assert main([*arguments, str(config)]) == 0
    assert json.loads(verdict.read_text())["verdict"] == "pass"
    assert copy.layout.report_text.read_text().startswith(f"# \u2705 PASS: {NAME}")


def test_a_pass_is_removed_with_the_files_that_it_is_about(copy: BuildRequest) -> None:
    """So is its report: when a file is made again, or cannot be compared at all."""
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})
    model = core.read_model(copy.layout.ir("FP32"))
    model.outputs[0].get_tensor().set_names({"alpha"})
    openvino.save_model(model, copy.layout.ir("FP32"), compress_to_fp16=False)
    verdict = copy.layout.validation.read_bytes()
    with pytest.raises(ValidationError, match="alpha"):
        build(replace(copy, stages=("validate",)))
    assert not any(path.exists() for path in copy.layout.verdicts)
    copy.layout.validation.write_bytes(verdict)
    result = build(replace(copy, stages=("convert",)))
    assert ran(result) == ["convert-FP32"]
    assert not any(path.exists() for path in copy.layout.verdicts)


def test_a_failed_report_does_not_hide_a_failed_verdict(
    copy: BuildRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report's error is a note; the verdict is what is raised."""

    def unable(*_: object) -> None:
        raise ReportError("no paper")

    monkeypatch.setattr("toolchain.stages.report.report.report", unable)
    first, *others = copy.model.tolerances
    limits = Limits({"pha_max_abs": Limit()}, "for tests")
    model = replace(copy.model, tolerances=(replace(first, limits=limits), *others))
    notes = Notes()
    with pytest.raises(ValidationError, match="pha_max_abs is"):
        build(replace(copy, model=model), notes)
    assert notes.texts[-1] == "The report could not be written: no paper"


class Notes(SilentListener):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def test_a_report_alone_shows_what_was_validated(copy: BuildRequest) -> None:
    """It needs no other stage, takes the precisions of the verdict, and changes with its records.

    After a build it is up to date.
    """
    alone = replace(copy, stages=("report",), precisions=("FP32",), composites=1)
    assert not build_as_planned(alone).anything_ran
    record = json.dumps({"schema": 1, "rows": [{"model": "FP16", "median_ms": 84.25}]})
    copy.layout.latency.write_text(record)
    result = build_as_planned(alone)
    assert ran(result) == ["report"]
    assert result.verdict is not None
    assert "84.2" in copy.layout.report_text.read_text()
    assert ran(build_as_planned(replace(copy, composites=1))) == []
    copy.layout.validation.unlink()
    with pytest.raises(
        ToolchainError, match=r"validation\.json: not found; the stage report needs it"
    ):
        build(alone)


def test_a_bad_checkpoint_changes_no_file(copy: BuildRequest, tmp_path: Path) -> None:
    """A file that is not a checkpoint of this network is refused before anything is replaced."""
    before = contents(copy.layout.folder, PROMISED)
    bad = tmp_path / "bad.pth"
    bad.write_bytes(b"not a checkpoint at all")
    source = replace(copy.model.files[0].sources[0], path=bad)  # type: ignore[call-arg, arg-type]
    file = replace(copy.model.files[0], sources=(source,))
    model = replace(copy.model, files=(file,))
    weights = choose_weights(model, "upstream", copy.output)
    copy.checkpoint.rename(tmp_path / "kept.pth")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        build(replace(copy, model=model, weights=weights, accept=file.name))
    (tmp_path / "kept.pth").rename(copy.checkpoint)
    assert contents(copy.layout.folder, PROMISED) == before
    assert not build_as_planned(copy).anything_ran


def test_a_bad_local_checkpoint_does_not_replace_a_good_one(
    copy: BuildRequest, tmp_path: Path
) -> None:
    """A file is checked before it is copied; the error names its path."""
    own = tmp_path / "own.pth"
    shutil.copy(copy.checkpoint, own)
    request = replace(copy, stages=("download",))
    mine = replace(request, weights=choose_weights(copy.model, str(own), copy.output))
    assert ran(build(mine)) == ["download"]
    good = mine.checkpoint.read_bytes()
    own.write_bytes(b"damaged")
    with pytest.raises(CheckpointError) as error:
        build(replace(request, weights=choose_weights(copy.model, str(own), copy.output)))
    assert str(own) in error.value.message
    assert mine.checkpoint.read_bytes() == good
