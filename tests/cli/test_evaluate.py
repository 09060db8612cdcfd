"""`matting evaluate`: the table, the JSON, invalid options, the dry run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.datasets import truncate_file, write_published
from toolchain.cli import console
from toolchain.cli import main as matting
from toolchain.cli.console import PlainLines
from toolchain.cli.main import main

ROOT = Path(__file__).parents[2]
NAME = "small-matting"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def built(small_config: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options for a model with ONNX and FP32. The tests share its folder."""
    output = tmp_path_factory.mktemp("built") / "out"
    options = ["--config", str(small_config), "-o", str(output)]
    for stage in (["download"], ["export"], ["convert", "--precisions", "FP32"]):
        assert main([*stage, *options, "-q"]) == 0
    return options


def folder(built: list[str]) -> Path:
    return Path(built[-1]) / "public" / NAME


def test_the_table_has_every_model_and_the_published_rows(
    built: list[str], capsys: Capture
) -> None:
    """Below the table are the definitions of the metrics; the rate is on stderr."""
    assert main(["evaluate", *built, "--frames", "2"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split()[:4] == ["model", "hint", "ran", "in"]
    assert [line.split()[0] for line in lines[1:7:2]] == ["original", "ONNX", "FP32"]
    content = json.loads((folder(built) / "evaluation.json").read_text())
    for line, entry in zip(lines[1:7:2], content["models"], strict=True):
        assert line.split()[3] == f"{entry['total']['alpha_mad']['mean']:.3f}"
    published = [line for line in lines if line.startswith("published  ")]
    assert [line.split()[1] for line in published] == ["4.32", "4.35"]
    assert [line.rsplit("  ", 1)[1] for line in published] == [
        "original (PyTorch)",
        "converted (IR)",
    ]
    assert "not measured here" in out
    assert "grows with its area" in out
    assert "95% percentile bootstrap" in out
    assert "Evaluating FP32 at f32: done, 2 frames" in err
    assert "frames/s" in err
    assert lines[-1].startswith("Weights: ")


def test_json_is_all_of_stdout_and_a_second_run_reuses_the_scores(
    built: list[str], capsys: Capture
) -> None:
    """stdout is the content of evaluation.json; names of models may be in any case."""
    arguments = ["evaluate", *built, "--frames", "2", "--models", "onnx,fp32", "--json"]
    assert main(arguments) == 0
    capsys.readouterr()
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == json.loads((folder(built) / "evaluation.json").read_text())
    assert "Evaluating FP32 at f32: 2 frames already have scores" in err
    assert "Evaluating FP32 at f32: done" not in err


def test_help_shows_an_example_that_parses(capsys: Capture) -> None:
    """--help exits with 0 and writes only to stdout."""
    assert main(["evaluate", "--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    example = out.rpartition("example:")[2].split()
    assert example[:2] == ["matting", "evaluate"]
    assert matting.create_parser().parse_args(example[1:]).backgrounds == Path("DIR")


def test_both_hints_give_two_rows(built: list[str], capsys: Capture) -> None:
    """Each row has the precision that the device computed in."""
    options = ["--frames", "1", "--models", "FP32", "--precision-hint", "both", "--json", "-q"]
    assert main(["evaluate", *built, *options]) == 0
    found = [(e["hint"], e["executed"]) for e in json.loads(capsys.readouterr().out)["models"]]
    assert found[0] == ("f32", "f32")
    assert found[1][0] == "default"
    assert found[1][1] in ("f32", "bf16", "f16")


def test_bad_frames_give_1_and_skipping_them_gives_0(
    built: list[str], tmp_path: Path, capsys: Capture
) -> None:
    """Files and reasons are on stderr; with --skip-bad the result has their number."""
    root = write_published(tmp_path / "set", {"a": 2, "b": 1})
    truncate_file(root / "com" / "a" / "0001.png")
    arguments = ["evaluate", *built, "--dataset", str(root), "--models", "FP32"]
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "1 of 3 frames cannot be used:\n  com/a/0001.png: cannot read the image" in err
    assert "--skip-bad" in err.splitlines()[-1]
    assert main([*arguments, "--skip-bad"]) == 0
    assert "2 frames, 2 clips of set (published), 1 bad frames left out." in capsys.readouterr().out


def test_a_dry_run_lists_the_work_and_changes_nothing(
    built: list[str], tmp_path: Path, capsys: Capture
) -> None:
    """It lists frames, bad frames and models, and creates no file."""
    root = write_published(tmp_path / "set", {"a": 2})
    (root / "fgr" / "a" / "0000.png").unlink()
    before = sorted(folder(built).rglob("*"))
    arguments = ["evaluate", *built, "--dataset", str(root), "--dry-run"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "1 frames, 1 clips of set (published)\nbad: fgr/a/0000: is missing" in out
    assert "would score FP32 at f32" in out
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"] == [
        "original at f32",
        "ONNX at f32",
        "FP32 at f32",
    ]
    assert sorted(folder(built).rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--models", "FP32,INT4"], 2, "--models: unknown INT4"),
        (["--backgrounds", "."], 2, "--backgrounds without --dataset"),
        (["--dataset", ".", "--frames", "3"], 2, "--frames is for generated frames"),
        (["--seed", "-1"], 2, "must be an integer of at least 0"),
        (["--workers", "2"], 2, "--workers is for --cluster local"),
        (["--dataset", "nowhere"], 1, "nowhere: is not a folder"),
        (["--models", "FP16-INT8"], 1, "not found; evaluating FP16-INT8 needs it"),
    ],
)
def test_invalid_requests_give_a_message(
    options: list[str], code: int, message: str, built: list[str], capsys: Capture
) -> None:
    """The message is on stderr, stdout is empty."""
    assert main(["evaluate", *built, *options]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_converting_again_invalidates_the_evaluation(tmp_path: Path, small_config: Path) -> None:
    """The evaluation of an earlier model is removed."""
    options = ["--config", str(small_config), "-o", str(tmp_path / "out")]
    for stage in (["download"], ["export"], ["convert", "--precisions", "FP32"]):
        assert main([*stage, *options, "-q"]) == 0
    assert main(["evaluate", *options, "--frames", "1", "--models", "FP32", "-q"]) == 0
    place = tmp_path / "out" / "public" / NAME
    assert len(list(place.glob("evaluation.*"))) == 3
    (place / "FP32" / f"{NAME}.bin").unlink()
    assert main(["convert", "--precisions", "FP32", *options, "-q"]) == 0
    assert list(place.glob("evaluation.*")) == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_ctrl_c_keeps_what_was_scored(built: list[str], tmp_path: Path, capsys: Capture) -> None:
    """The exit code is 130; the next run reuses the scores and reports how many."""
    root = write_published(tmp_path / "set", {"a": 60})
    arguments = ["evaluate", *built, "--dataset", str(root), "--models", "FP32"]
    command = [sys.executable, "-m", "toolchain", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        journals = folder(built) / ".evaluation"
        before = {path: path.stat().st_size for path in journals.glob("*")}
        while process.poll() is None:
            now = {path: path.stat().st_size for path in journals.glob("*")}
            if any(size > before.get(path, 0) for path, size in now.items()):
                break
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "Interrupted."
    assert "Traceback" not in err
    assert main(arguments) == 0
    assert "frames already have scores" in capsys.readouterr().err


def test_lines_show_rate_and_time_left(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Without a terminal there is a line every ten seconds; a task that ends early is shown."""
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    lines = PlainLines()
    with lines.task("Evaluating", 100, "frames") as task:
        now[0] = 10.0
        task.reach(20)
        now[0] = 20.0
        task.reach(40)
        now[0] = 22.0
        task.reach(44)
    assert capsys.readouterr().err.splitlines() == [
        "Evaluating: 20 of 100 frames",  # the first ones are no measure of the time left
        "Evaluating: 40 of 100 frames, 2.0 frames/s, 30 s left",
        "Evaluating: ended before all 100, 44 frames, 2.0 frames/s, 22.0 s",
    ]
