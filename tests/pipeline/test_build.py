"""Build: every promised file, nothing twice, nothing half, the same bytes each time."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import openvino
import pytest

from tests.conftest import LOOSE_LIMITS
from tests.support.weights import save_checkpoint
from toolchain.catalog.arguments import export_settings
from toolchain.catalog.reader import read_model
from toolchain.cli.matting import main
from toolchain.errors import (
    CatalogError,
    CheckpointError,
    ReportError,
    ToolchainError,
    ValidationError,
)
from toolchain.pipeline.build import BuildResult, build, foresee
from toolchain.pipeline.request import BuildRequest
from toolchain.pipeline.weights import choose
from toolchain.progress import Silence

ROOT = Path(__file__).parents[2]
NAME = "small-matting"
PROMISED = (
    "pytorch_mobilenetv2.pth",
    f"{NAME}.onnx",
    f"FP32/{NAME}.xml",
    f"FP32/{NAME}.bin",
    f"FP16/{NAME}.xml",
    f"FP16/{NAME}.bin",
    "validation.json",
    "report.html",
    "report.md",
)
SAME_BYTES = PROMISED[:-3]  # the verdict tells figures, whose last digits are the machine's
ENTRIES = ["download", "export", "convert-FP32", "convert-FP16", "validate", "report"]


@pytest.fixture(scope="module")
def config(small_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model.yml with limits that random weights keep on every device."""
    path = tmp_path_factory.mktemp("limited") / "model.yml"
    path.write_text(small_config.read_text() + LOOSE_LIMITS)
    return path


def asked(config: Path, output: Path, **changes: Any) -> BuildRequest:
    model = read_model(config)
    weights = choose(model, "upstream", output)
    return BuildRequest(model, weights, output, composites=1, **changes)


@pytest.fixture(scope="module")
def built(config: Path, tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    """One whole build; not to be changed."""
    output = tmp_path_factory.mktemp("built") / "out"
    return foreseen_build(asked(config, output))


@pytest.fixture
def copy(built: BuildResult, tmp_path: Path) -> BuildRequest:
    """The same build in a folder of this test's own."""
    shutil.copytree(built.request.output, tmp_path / "out")
    return replace(built.request, output=tmp_path / "out")


def foreseen_build(request: BuildRequest) -> BuildResult:
    """Build, after `foresee` has told exactly what will run, and has touched nothing."""
    before = snapshot(request.output)
    seen = foresee(request)
    assert snapshot(request.output) == before
    result = build(request)
    assert [(item.entry, item.action == "run") for item in seen] == [
        (outcome.entry, outcome.ran) for outcome in result.outcomes
    ]
    return result


def ran(result: BuildResult) -> list[str]:
    return [outcome.entry for outcome in result.outcomes if outcome.ran]


def snapshot(folder: Path) -> dict[str, tuple[int, int]] | None:
    """Everything in `folder` with size and time of its last change; None if it is not there."""
    if not folder.exists():
        return None
    found = {path: path.stat() for path in folder.rglob("*")}
    return {str(path): (stat.st_size, stat.st_mtime_ns) for path, stat in found.items()}


def contents(folder: Path, names: tuple[str, ...] = SAME_BYTES) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}


def command(request: BuildRequest) -> list[str]:
    config, output = request.model.config_path, request.output
    arguments = ["--config", str(config), "-o", str(output), "--frames", "1"]
    return [sys.executable, "-m", "toolchain", "build", *arguments]


def test_every_promised_file_is_made(built: BuildResult) -> None:
    """All stages ran in order, and each told file is there, whole and readable."""
    folder = built.request.output / "public" / NAME
    assert ran(built) == ENTRIES
    told = [str(path) for outcome in built.outcomes for path in outcome.files]
    assert told == [str(folder / name) for name in PROMISED]
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == {
        *(name for name in PROMISED if "/" not in name),
        "FP32",
        "FP16",
        "checkpoint.lock.json",
    }
    core = openvino.Core()
    for precision in ("FP32", "FP16"):
        model = core.read_model(folder / precision / f"{NAME}.xml")
        names = [port.get_any_name() for port in (*model.inputs, *model.outputs)]
        assert names == ["src", "bgr", "pha", "fgr"]
    verdict = json.loads((folder / "validation.json").read_text())
    assert verdict["verdict"] == "pass"
    assert verdict == built.verdict
    assert set(verdict["files"]) == set(SAME_BYTES)


def test_a_second_build_writes_nothing(copy: BuildRequest) -> None:
    """With nothing changed no stage runs, and no file is touched."""
    before = snapshot(copy.output)
    again = foreseen_build(copy)
    assert not again.anything_ran
    assert again.verdict is not None
    assert again.verdict["verdict"] == "pass"
    assert snapshot(copy.output) == before


def test_a_second_build_loads_nothing_heavy(copy: BuildRequest) -> None:
    """What is done is known without PyTorch, OpenVINO and the like."""
    code = (
        "import json, sys; from toolchain.cli.matting import main; code = main(sys.argv[1:]);"
        "heavy = {'torch', 'openvino', 'onnx', 'onnxruntime', 'scipy', 'numpy', 'PIL', 'jinja2'};"
        "heavy = sorted(heavy & set(sys.modules));"
        "print(json.dumps([code, heavy]))"
    )
    arguments = command(copy)[3:]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "-q"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]


@pytest.mark.parametrize(
    ("name", "damage", "entries"),
    [
        (f"FP16/{NAME}.bin", "deleted", ["convert-FP16", "validate", "report"]),
        (f"FP16/{NAME}.bin", "changed", ["convert-FP16", "validate", "report"]),
        (f"{NAME}.onnx", "deleted", ["export", "validate", "report"]),
        ("validation.json", "changed", ["validate", "report"]),
        ("report.html", "deleted", ["report"]),
        ("report.md", "changed", ["report"]),
    ],
)
def test_a_lost_file_is_made_again_and_nothing_else(
    name: str, damage: str, entries: list[str], built: BuildResult, copy: BuildRequest
) -> None:
    """Its own stage runs, and the verdict on it is found again; what else holds is kept."""
    lost = copy.layout.folder / name
    if damage == "deleted":
        lost.unlink()
    else:
        data = bytearray(lost.read_bytes())
        data[len(data) // 2] ^= 1
        lost.write_bytes(data)
    assert ran(foreseen_build(copy)) == entries
    assert contents(copy.layout.folder) == contents(built.request.layout.folder)


def test_a_lost_checkpoint_is_fetched_again_and_nothing_else(
    built: BuildResult, copy: BuildRequest
) -> None:
    """It has the recorded digest, so all that was made from it still holds."""
    copy.checkpoint.unlink()
    assert ran(foreseen_build(copy)) == ["download"]
    assert contents(copy.layout.folder) == contents(built.request.layout.folder)


def test_changed_limits_judge_again_and_nothing_else(copy: BuildRequest) -> None:
    """Tolerances are an input of the validation alone."""
    first, *others = copy.model.tolerances
    limits = replace(first.limits, pha_max_abs=1.9e-5)
    model = replace(copy.model, tolerances=(replace(first, limits=limits), *others))
    assert ran(foreseen_build(replace(copy, model=model))) == ["validate", "report"]


def test_another_size_is_exported_onwards(copy: BuildRequest) -> None:
    """The checkpoint is kept; every later file is made for the new size."""
    settings = replace(export_settings(copy.model), width=256, height=192)
    assert ran(foreseen_build(replace(copy, settings=settings))) == ENTRIES[1:]
    model = openvino.Core().read_model(copy.layout.ir("FP16"))
    assert tuple(model.input("src").shape) == (1, 3, 192, 256)


def test_another_input_format_is_converted_and_validated_anew(copy: BuildRequest) -> None:
    """The ONNX is kept; the IRs take bytes, and the same limits hold."""
    result = foreseen_build(replace(copy, input_format="u8-nhwc"))
    assert ran(result) == ["convert-FP32", "convert-FP16", "validate", "report"]
    model = openvino.Core().read_model(copy.layout.ir("FP16"))
    assert tuple(model.input("src").shape) == (1, 192, 320, 3)
    assert model.get_rt_info(["matting", "input_layout"]).astype(str) == "NHWC"


def test_precisions_are_made_when_they_are_asked_for(copy: BuildRequest) -> None:
    """What is there is kept when another one is added; the verdict is on those asked for."""
    shutil.rmtree(copy.layout.folder / "FP16")
    one = foreseen_build(replace(copy, precisions=("FP32",)))
    assert ran(one) == ["validate", "report"]
    assert one.verdict is not None
    assert {run["form"] for run in one.verdict["runs"]} == {"ONNX", "FP32"}
    assert ran(foreseen_build(copy)) == ["convert-FP16", "validate", "report"]


def test_another_checkpoint_makes_everything_anew(
    built: BuildResult, copy: BuildRequest, tmp_path: Path
) -> None:
    """No file of the earlier weights is left, and the verdict names the new digest."""
    other = save_checkpoint(tmp_path / "other.pth", seed=5)
    source = replace(copy.model.files[0].sources[0], path=other)  # type: ignore[call-arg, arg-type]
    file = replace(copy.model.files[0], sources=(source,))
    model = replace(copy.model, files=(file,))
    changed = replace(
        copy, model=model, weights=choose(model, "upstream", copy.output), accept=file.name
    )
    copy.checkpoint.unlink()
    result = foreseen_build(changed)
    assert ran(result) == ENTRIES
    old, new = contents(built.request.layout.folder), contents(copy.layout.folder)
    assert not [name for name in SAME_BYTES if old[name] == new[name]]
    assert result.verdict is not None
    assert built.verdict is not None
    digests = [verdict["facts"]["checkpoint_sha384"] for verdict in (result.verdict, built.verdict)]
    assert digests[0] != digests[1]


def test_a_stage_alone_says_what_it_lacks(config: Path, tmp_path: Path, copy: BuildRequest) -> None:
    """Foreseen and run alike name the missing file, and leave no folder behind."""
    for request in (
        asked(config, tmp_path / "none", stages=("export",)),
        replace(copy, stages=("convert",)),
    ):
        request.layout.onnx.unlink(missing_ok=True)
        with pytest.raises(ToolchainError, match="is not there") as foreseen:
            foresee(request)
        with pytest.raises(ToolchainError) as real:
            build(request)
        assert real.value.message == foreseen.value.message
    assert not (tmp_path / "none" / "public" / NAME / f"{NAME}.onnx").exists()


@pytest.mark.parametrize(
    ("argument", "wrong"),
    [("--scale=255", "--scale=none"), ("--refine-mode=sampling", "--refine-mode=magic")],
)
def test_arguments_that_can_not_be_used_end_it_before_anything_is_fetched(
    argument: str, wrong: str, config: Path, tmp_path: Path
) -> None:
    """A mistake that a late stage would meet is told at once, with its place."""
    bad = tmp_path / "model.yml"
    bad.write_text(config.read_text().replace(argument, wrong))
    request = asked(bad, tmp_path / "out")
    for start in (foresee, build):
        with pytest.raises(CatalogError, match=rf"{re.escape(str(bad))}:\d+:\d+: .*_args"):
            start(request)
    assert not (tmp_path / "out").exists()


def test_a_failed_validation_says_fail_until_it_passes(
    copy: BuildRequest, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 1 and a verdict of fail, which is never taken for done; fair limits make it pass."""
    strict = tmp_path / "model.yml"
    strict.write_text(config.read_text().replace("pha_max_abs: 2e-05", "pha_max_abs: 0"))
    arguments = ["build", "-o", str(copy.output), "--frames", "1", "-q", "--config"]
    verdict = copy.layout.validation
    assert main([*arguments, str(strict)]) == 1
    said = capsys.readouterr().err
    assert "pha_max_abs is" in said
    assert "report.html shows what differs" in said
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


def test_a_pass_does_not_outlive_the_files_it_speaks_of(copy: BuildRequest) -> None:
    """It and its report go when a file is made anew unvalidated, or can't even be compared."""
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


def test_a_fail_is_a_fail_where_no_report_can_be_made(
    copy: BuildRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes wrong with the report is said, and does not hide the verdict."""

    def unable(*_: object) -> None:
        raise ReportError("no paper")

    monkeypatch.setattr("toolchain.pipeline.report.report", unable)
    first, *others = copy.model.tolerances
    limits = replace(first.limits, pha_max_abs=0.0)
    model = replace(copy.model, tolerances=(replace(first, limits=limits), *others))
    notes = Notes()
    with pytest.raises(ValidationError, match="pha_max_abs is"):
        build(replace(copy, model=model), notes)
    assert notes.said[-1] == "No report could be made: no paper"


class Notes(Silence):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def test_a_report_alone_is_of_what_was_validated(copy: BuildRequest) -> None:
    """It needs no other stage, takes the precisions of the verdict, and changes with its records.

    After a build it is up to date.
    """
    alone = replace(copy, stages=("report",), precisions=("FP32",), composites=1)
    assert not foreseen_build(alone).anything_ran
    record = json.dumps({"schema": 1, "rows": [{"model": "FP16", "median_ms": 84.25}]})
    copy.layout.latency.write_text(record)
    result = foreseen_build(alone)
    assert ran(result) == ["report"]
    assert result.verdict is not None
    assert "84.2" in copy.layout.report_text.read_text()
    assert ran(foreseen_build(replace(copy, composites=1))) == []
    copy.layout.validation.unlink()
    with pytest.raises(ToolchainError, match=r"validation\.json: is not there, and report needs"):
        build(alone)


def test_a_bad_checkpoint_leaves_what_was_there(copy: BuildRequest, tmp_path: Path) -> None:
    """A file that is none of this network is refused before anything is replaced."""
    before = contents(copy.layout.folder, PROMISED)
    bad = tmp_path / "bad.pth"
    bad.write_bytes(b"not a checkpoint at all")
    source = replace(copy.model.files[0].sources[0], path=bad)  # type: ignore[call-arg, arg-type]
    file = replace(copy.model.files[0], sources=(source,))
    model = replace(copy.model, files=(file,))
    weights = choose(model, "upstream", copy.output)
    copy.checkpoint.rename(tmp_path / "kept.pth")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        build(replace(copy, model=model, weights=weights, accept=file.name))
    (tmp_path / "kept.pth").rename(copy.checkpoint)
    assert contents(copy.layout.folder, PROMISED) == before
    assert not foreseen_build(copy).anything_ran


def test_a_bad_checkpoint_of_one_s_own_does_not_take_a_good_one_s_place(
    copy: BuildRequest, tmp_path: Path
) -> None:
    """A path is held against the network before it is copied; the error names that path."""
    own = tmp_path / "own.pth"
    shutil.copy(copy.checkpoint, own)
    request = replace(copy, stages=("download",))
    mine = replace(request, weights=choose(copy.model, str(own), copy.output))
    assert ran(build(mine)) == ["download"]
    good = mine.checkpoint.read_bytes()
    own.write_bytes(b"spoilt")
    with pytest.raises(CheckpointError) as error:
        build(replace(request, weights=choose(copy.model, str(own), copy.output)))
    assert str(own) in error.value.message
    assert mine.checkpoint.read_bytes() == good


MOMENTS = (
    ("said", ""),
    ("said", "export:"),
    ("before", f"{NAME}.onnx"),
    ("before", f"FP32/{NAME}.bin"),
    ("after", f"FP16/{NAME}.bin"),
    ("said", "convert-FP16:"),
    ("before", "validation.json"),
)
# Stops for good before or after the rename that publishes a file, and says so.
STOPPING = """
import os, sys, time
from toolchain.cli.matting import main
from toolchain.workspace import atomic
when, name, real = sys.argv[1], sys.argv[2].replace("/", os.sep), atomic.publish
def stop():
    print("stopped", file=sys.stderr, flush=True)
    time.sleep(600)
def publish(finished, target):
    if when == "before" and str(target).endswith(name):
        stop()
    real(finished, target)
    if when == "after" and str(target).endswith(name):
        stop()
atomic.publish = publish
sys.exit(main(sys.argv[3:]))
"""


def test_a_kill_leaves_no_half_file_and_the_next_run_finishes(
    built: BuildResult, config: Path, tmp_path: Path
) -> None:
    """Killed in every stage, also between the files of an IR, a build ends with the same bytes."""
    request = asked(config, tmp_path / "out")
    folder, good = request.layout.folder, contents(built.request.layout.folder)
    chance = random.Random(7)
    for moment in MOMENTS:
        with subprocess.Popen(
            [sys.executable, "-c", STOPPING, *moment, *command(request)[3:]],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            _wait_for(moment, process, chance)
            process.kill()
        for name, data in contents(folder).items():
            assert data == good[name], f"{name} after a kill {moment}"
        assert not (folder / "validation.json").exists()
    done = subprocess.run(
        command(request), cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert contents(folder) == good
    assert json.loads((folder / "validation.json").read_text())["verdict"] == "pass"
    assert not list(folder.rglob(".*.part-write"))


def _wait_for(
    moment: tuple[str, str], process: subprocess.Popen[str], chance: random.Random
) -> None:
    """Wait until the process has stopped, or until some time after it said something."""
    when, text = moment
    awaited = text if when == "said" else "stopped"
    assert process.stderr is not None
    while awaited and not (line := process.stderr.readline()).startswith(awaited):
        assert line, f"ended before {moment}"
    if when == "said":
        time.sleep(chance.uniform(0, 0.5))


def test_two_builds_in_one_folder_both_end_well(
    built: BuildResult, config: Path, tmp_path: Path
) -> None:
    """The second waits for the first, finds its results, and nothing comes out differently."""
    request = asked(config, tmp_path / "out")
    both = [
        subprocess.Popen(
            command(request), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    ends = [(*process.communicate(timeout=300), process.returncode) for process in both]
    assert [code for _, _, code in ends] == [0, 0], ends
    assert sorted(out.count("up to date") for out, _, _ in ends) == [0, len(ENTRIES)]
    assert contents(request.layout.folder) == contents(built.request.layout.folder)
    waited = "another build is at work"
    assert [waited in err for _, err, _ in ends].count(True) == 1


def test_the_output_folder_may_be_relative(
    copy: BuildRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder given relative to here and the same one given in full are one and the same."""
    monkeypatch.chdir(copy.output.parent)
    assert not foreseen_build(replace(copy, output=Path(os.curdir, "out"))).anything_ran
