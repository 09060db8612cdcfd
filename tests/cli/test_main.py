"""The program `matting`: help, exit codes, output, error messages."""

from __future__ import annotations

import json
import os
import pickle
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolchain.catalog.builtin import builtin_config
from toolchain.cli import main as matting
from toolchain.cli.main import main
from toolchain.omz import converter as omz_converter
from toolchain.omz import downloader as omz_downloader
from toolchain.omz import info_dumper as omz_info_dumper
from toolchain.omz import quantizer as omz_quantizer
from toolchain.workspace.locking import lock

ROOT = Path(__file__).parents[2]
NAME = "small-matting"
STAGES = ("build", "download", "export", "convert", "quantize", "validate", "report")
COMMANDS = (*STAGES, "info")
LIMITS = "tolerances:\n" + "".join(
    f"  - {{form: {form}, hint: {hint}, pha_max_abs: 0.5, reason: for tests}}\n"
    for form, hint in (("ONNX", "f32"), ("FP32", "f32"), ("FP32", "default"))
)
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def config(small_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("limited") / "model.yml"
    path.write_text(small_config.read_text() + LIMITS)
    return path


@pytest.fixture(scope="module")
def built(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a complete build. Read only."""
    output = tmp_path_factory.mktemp("built") / "out"
    assert main(["build", *common(config, output), *PART, "-q"]) == 0
    return output


PART = ["--frames", "1", "--precisions", "FP32"]


def common(config: Path, output: Path) -> list[str]:
    return ["--config", str(config), "-o", str(output)]


def examples(text: str) -> list[str]:
    """The command lines in the examples of a help text, without their explanations."""
    lines = text.partition("example")[2].splitlines()[1:]
    return [re.split(r"\s{2,}", line.strip())[0] for line in lines if line.startswith("  ")]


def help_of(run: Callable[[list[str]], int], arguments: list[str], capsys: Capture) -> str:
    assert run([*arguments, "--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return str(out)


def test_every_help_has_examples_that_parse(capsys: Capture) -> None:
    """--help exits with 0, writes only to stdout, and each example is a valid command line."""
    mains: dict[str, Any] = {
        "matting": matting,
        "omz_downloader": omz_downloader,
        "omz_converter": omz_converter,
        "omz_quantizer": omz_quantizer,
        "omz_info_dumper": omz_info_dumper,
    }
    shown = []
    for program, module in mains.items():
        for command in ((), *((name,) for name in COMMANDS)) if program == "matting" else ((),):
            text = help_of(module.main, list(command), capsys)
            found = examples(text)
            assert found, (program, command)
            assert all(line.split()[: 1 + len(command)] == [program, *command] for line in found)
            shown += found
    assert len(shown) >= 10
    for line in shown:
        program, *arguments = shlex.split(line)
        if program == "omz_info_dumper":  # fast enough to run
            assert omz_info_dumper.main(arguments) == 0
        else:
            assert mains[program].create_parser().parse_args(arguments), line


@pytest.mark.parametrize(
    "line", ["matting info", "matting info --json", "matting build --dry-run --weights bundled"]
)
def test_examples_that_need_no_network_run(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They exit with 0 in an empty folder and leave it empty."""
    monkeypatch.chdir(tmp_path)
    assert main(line.split()[1:]) == 0
    assert not list(tmp_path.iterdir())


def test_python_m_toolchain_is_matting(tmp_path: Path) -> None:
    """The module runs the command, with its name and its exit codes."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for arguments, code, output in (
        (["--version"], 0, "matting "),
        ([], 2, "usage: matting"),
        (["info", "--config", "none.yml"], 1, "none.yml:1:1: cannot be read"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "toolchain", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code
        assert (done.stdout + done.stderr).startswith(output)


def test_help_loads_nothing_heavy() -> None:
    """The help needs no library for tensors, YAML or downloads."""
    code = (
        "import sys; from toolchain.cli.main import main; main(['--help']);"
        "heavy = {'torch', 'openvino', 'onnx', 'numpy', 'requests', 'rich', 'yaml'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["fly"], "invalid choice"),
        (["build", "--input-size", "1280"], "expected WxH"),
        (["build", "--input-size", "1x2x3"], "expected WxH"),
        (["build", "--input-size", "1281x720"], "divisible by 4"),
        (["build", "--input-size", "0x0"], "divisible by 4"),
        (["build", "--input-size", "20000x20000"], "at most 16384 pixels"),
        (["build", "--input-size", "32x32"], "leaves the backbone"),
        (["build", "--backbone-scale", "nan"], "--backbone-scale is nan"),
        (["build", "--refine-threshold", "0.5"], "no effect with refine mode sampling"),
        (["build", "--frames", "0"], "must be a positive integer"),
        (["build", "--num_attempts", "-1"], "must be a positive integer"),
        (["build", "--precisions", "FP32,INT4"], "unknown INT4"),
        (["build", "--precisions", ""], "unknown"),
        (["build", "--weights", "bundled", "--name", "mine"], "only weights given by path"),
        (["build", "--name", "mine"], "only weights given by path"),
    ],
)
def test_bad_arguments_give_2(
    arguments: list[str], message: str, config: Path, tmp_path: Path, capsys: Capture
) -> None:
    """The message is on stderr, stdout is empty, and nothing is written."""
    more = common(config, tmp_path / "out") if arguments[1:] else []
    assert main([*arguments, *more]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert out == ""
    assert not (tmp_path / "out").exists()


class Evil:
    """Unpickling it would create a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def faults(tmp_path: Path, config: Path) -> dict[str, tuple[list[str], str]]:
    """Arguments of commands that fail, and the expected messages."""
    bad_yaml, evil = tmp_path / "bad.yml", tmp_path / "evil.pth"
    bad_yaml.write_text("name: [unfinished\n")
    with evil.open("wb") as stream:
        pickle.dump({"x": Evil(tmp_path / "hacked")}, stream)
    text = tmp_path / "text.pth"
    text.write_text("no weights")
    output = tmp_path / "out"
    ordinary = common(config, output)
    return {
        "no config": (["--config", str(tmp_path / "no.yml")], "no.yml:1:1: cannot be read"),
        "folder as config": (["--config", str(tmp_path)], f"{tmp_path}:1:1: cannot be read"),
        "bad yaml": (["--config", str(bad_yaml)], f"{bad_yaml}:"),
        "no checkpoint": ([*ordinary, "--weights", "no.pth"], "no.pth: cannot be read"),
        "folder as checkpoint": ([*ordinary, "--weights", str(tmp_path)], "cannot be read"),
        "unsafe": ([*ordinary, "--weights", str(evil)], "evil.pth"),
        "text": ([*ordinary, "--weights", str(text)], "text.pth"),
        "file as output": (common(config, text), f"{text}"),
        "no frames": ([*ordinary, "--inputs", str(tmp_path / "none")], "none: is not a folder"),
        "other frames": ([*ordinary, "--inputs", str(tmp_path)], "contains no pair of a frame and"),
    }


@pytest.mark.parametrize(
    "fault",
    [
        "no config",
        "folder as config",
        "bad yaml",
        "no checkpoint",
        "folder as checkpoint",
        "unsafe",
        "text",
        "file as output",
        "no frames",
        "other frames",
    ],
)
def test_failures_give_1_and_sentences(
    fault: str, config: Path, tmp_path: Path, capsys: Capture
) -> None:
    """The fault is named on stderr, stdout is empty, and no code of a checkpoint was run."""
    arguments, message = faults(tmp_path, config)[fault]
    assert main(["build", *arguments]) == 1
    out, err = capsys.readouterr()
    assert message in err
    assert "Traceback" not in err
    assert len(err.splitlines()) < 8
    assert out == ""
    assert not (tmp_path / "hacked").exists()
    assert "Nothing was changed." not in err or not (tmp_path / "out").exists()
    assert not list(tmp_path.glob("out/public/*/*.pth"))


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs /proc")
def test_an_output_folder_that_cannot_be_created_is_one_failure(
    config: Path, capsys: Capture
) -> None:
    """The message has the path and the reason."""
    assert main(["build", *common(config, Path("/proc/nobody"))]) == 1
    err = capsys.readouterr().err
    assert "/proc/nobody" in err
    assert "cannot lock" in err
    assert "Traceback" not in err


def test_single_stages_give_the_files_of_a_build(built: Path, config: Path, tmp_path: Path) -> None:
    """The model files have the same bytes, and `build` has nothing left to do."""
    output = tmp_path / "out"
    for command in ("download", "export", "convert", "validate", "report"):
        more = {"convert": PART[2:], "validate": PART, "report": PART[:2]}.get(command, [])
        assert main([command, *common(config, output), *more, "-q"]) == 0
    folder, whole = output / "public" / NAME, built / "public" / NAME
    for name in (f"{NAME}.onnx", f"FP32/{NAME}.xml", f"FP32/{NAME}.bin"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    assert main(["build", *common(config, output), *PART, "-q"]) == 0


# `quantize` needs two more precisions: see tests/pipeline/test_quantization.py.
@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "quantize"])
def test_json_is_all_of_stdout(command: str, built: Path, config: Path, capsys: Capture) -> None:
    """Progress is on stderr; --dry-run prints JSON too."""
    arguments = [command, "--config", str(config), "--json"]
    if command == "info":
        assert main(arguments) == 0
        facts = json.loads(capsys.readouterr().out)
        assert facts["model"] == NAME
        assert facts["state dict entries"] == 382
        return
    arguments += ["-o", str(built)]
    more = {"build": PART, "convert": PART[2:], "validate": PART, "report": PART[:2]}
    arguments += more.get(command, [])
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result["model"] == NAME
    assert result["weights"]["kind"] == "upstream"
    assert not any(stage["ran"] for stage in result["stages"])
    assert all(Path(file).is_file() for stage in result["stages"] for file in stage["files"])
    with_verdict = ("build", "validate", "report")
    assert result["verdict"] == ("pass" if command in with_verdict else None)
    report = built / "public" / NAME / "report.html"
    assert result["report"] == (str(report) if command in ("build", "report") else None)
    assert err.startswith("Weights: upstream")
    assert main([*arguments, "--dry-run"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert {entry["action"] for entry in planned} == {"keep"}
    assert [entry["entry"] for entry in planned] == [stage["stage"] for stage in result["stages"]]


def test_a_failed_validation_prints_json(
    built: Path, config: Path, tmp_path: Path, capsys: Capture
) -> None:
    """The exit code is 1, and the content of validation.json is on stdout."""
    shutil.copytree(built, tmp_path / "out")
    strict = tmp_path / "model.yml"
    strict.write_text(config.read_text().replace("pha_max_abs: 0.5", "pha_max_abs: 0"))
    assert main(["validate", *common(strict, tmp_path / "out"), *PART, "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["verdict"] == "fail"
    assert "pha_max_abs is" in err


def test_auto_repeats_its_choice_of_weights_when_it_fails(
    config: Path, tmp_path: Path, capsys: Capture
) -> None:
    """The first and the last line of a failed run name the weights."""
    missing = tmp_path / "none.yml"
    missing.write_text(re.sub("source: .*", "source: file:///none.pth", config.read_text()))
    bad = ["--inputs", str(tmp_path / "nothing")]
    assert main(["build", *common(missing, tmp_path / "out"), "--weights", "auto", *bad]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Weights: bundled (upstream cannot be reached")
    assert lines[-1] == lines[0]


def test_the_summary_lists_variants_files_and_weights(
    built: Path, config: Path, capsys: Capture
) -> None:
    """One row per variant, one line per stage with its files, and the weights last."""
    assert main(["build", *common(config, built), *PART]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert sum(line.rstrip().endswith("pass") for line in lines) == 3
    assert sum("up to date" in line for line in lines) == 5
    assert str(built / "public" / NAME / "validation.json") in out
    assert lines[-1] == err.splitlines()[0]
    assert lines[-1] == "Weights: upstream (asked for): the published checkpoint."


@pytest.mark.parametrize("command", STAGES)
def test_a_dry_run_of_each_stage_changes_nothing(
    command: str, config: Path, tmp_path: Path, capsys: Capture
) -> None:
    """Without a folder it prints what would run, or what is missing, and creates no folder."""
    output = tmp_path / "out"
    code = main([command, *common(config, output), "--dry-run"])
    out, err = capsys.readouterr()
    if command in ("build", "download"):
        assert code == 0
        assert out.startswith("would run  download: ")
    else:
        assert code == 1
        assert "not found" in err
    assert not output.exists()


def test_info_counts_the_facts(capsys: Capture) -> None:
    """The values are those of the published model, and every line has a name."""
    assert main(["info", "--config", str(builtin_config())]) == 0
    out, err = capsys.readouterr()
    assert "state dict entries: 382\n" in out
    assert "converted inputs: src: f32 1 x 3 x 720 x 1280, BGR 0..255" in out
    assert all(": " in line for line in out.splitlines())
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "gigaflops", "counted"),
    [
        (["--refine-mode", "full"], 61.334, "57600 refined patches"),
        (["--refine-mode", "thresholding"], 61.334, "at most 57600 refined patches"),
        (["--refine-sample-pixels", "160000"], 16.178, "10000 refined patches"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_info_counts_for_the_network_options(
    arguments: list[str], gigaflops: float, counted: str, capsys: Capture
) -> None:
    """FLOPs depend on the refine mode."""
    assert main(["info", "--json", *arguments]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["GFLOPs"]["total"] == pytest.approx(gigaflops, abs=0.002)
    assert counted in facts["GFLOPs counted"]


def test_info_counts_for_the_refine_mode_of_model_yml(tmp_path: Path, capsys: Capture) -> None:
    """The refine mode among the export arguments decides."""
    config = tmp_path / "model.yml"
    published = builtin_config().read_text(encoding="utf-8")
    config.write_text(published.replace("--refine-mode=sampling", "--refine-mode=full"))
    assert main(["info", "--json", "--config", str(config)]) == 0
    assert json.loads(capsys.readouterr().out)["GFLOPs"]["total"] == 61.334


def test_a_closed_stdout_ends_the_command(built: Path, config: Path) -> None:
    """The exit code is 1 and stderr is empty."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [sys.executable, "-m", "toolchain", "build", *common(config, built), *PART, "-q"],
        cwd=ROOT,
        stdout=write_end,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_ctrl_c_gives_130_and_the_next_run_continues(config: Path, tmp_path: Path) -> None:
    """One line without a traceback; finished files stay."""
    output = tmp_path / "out"
    command = [sys.executable, "-m", "toolchain", "build", *common(config, output), *PART]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = ""
        while (line := process.stderr.readline()) and not line.startswith("export:"):
            said += line
        assert line, said
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "Interrupted.\n")
    folder = output / "public" / NAME
    assert (folder / "pytorch_mobilenetv2.pth").is_file()
    assert not (folder / f"{NAME}.onnx").exists()
    assert main(["download", *common(config, output), "--dry-run"]) == 0


def test_a_second_command_waits_and_reports_it(
    built: Path, config: Path, tmp_path: Path, capsys: Capture
) -> None:
    """While another process holds the lock of the folder, a note on stderr states it."""
    shutil.copytree(built, tmp_path / "out")
    codes: list[int] = []
    arguments = ["build", *common(config, tmp_path / "out"), *PART]
    with lock(tmp_path / "out" / "public" / NAME):
        waiting = threading.Thread(target=lambda: codes.append(main(arguments)))
        waiting.start()
        time.sleep(0.5)
        assert not codes
    waiting.join(60)
    assert codes == [0]
    assert "locked by another build; waiting" in capsys.readouterr().err
