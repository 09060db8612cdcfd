"""omz_info_dumper and the flags it shares with the other omz commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from toolchain.cli import exits
from toolchain.errors import UsageError
from toolchain.omz.downloader import FLAGS as DOWNLOADER_FLAGS
from toolchain.omz.info_dumper import main
from toolchain.omz.command import written_out

NAME = "background-matting-mobilenetv2"
KEYS = [
    "name",
    "composite_model_name",
    "description",
    "framework",
    "license_url",
    "accuracy_config",
    "model_config",
    "precisions",
    "subdirectory",
    "task_type",
    "input_info",
    "model_stages",
]
HEAD = "description: d\ntask_type: detection\nframework: onnx\nlicense: MIT\n"
MODEL = HEAD + "files: []\nmodel_optimizer_args: []\ninput_info: [{name: x}]\n"


def test_all_prints_an_array_with_the_known_keys(capsys: pytest.CaptureFixture[str]) -> None:
    """Keys in order, indent 4, one final newline, nothing on stderr."""
    assert main(["--all"]) == 0
    out, err = capsys.readouterr()
    (model,) = json.loads(out)
    assert list(model) == KEYS
    assert out == json.dumps([model], indent=4) + "\n"
    assert err == ""
    assert model["name"] == NAME
    assert model["precisions"] == ["FP16", "FP32"]
    assert model["input_info"][0] == {"name": "src", "shape": [1, 3, 720, 1280], "layout": "NCHW"}
    assert model["subdirectory"] == str(Path("public", NAME))
    assert model["accuracy_config"] is None


def test_a_tree_shows_stages_and_absent_parts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A composite model has stages and no config of its own; absent shape and layout are empty."""
    folder = tmp_path / "pair" / "pair-1"
    folder.mkdir(parents=True)
    (folder / "model.yml").write_text(MODEL, encoding="utf-8")
    (folder / "accuracy-check.yml").touch()
    (tmp_path / "pair" / "composite-model.yml").write_text(
        HEAD + "stages_order: [pair-1]\n", encoding="utf-8"
    )
    assert main(["--all", "--models_root", str(tmp_path)]) == 0
    (pair,) = json.loads(capsys.readouterr().out)
    assert (pair["composite_model_name"], pair["model_config"]) == ("pair", None)
    (stage,) = pair["model_stages"]
    assert list(stage) == KEYS
    assert stage["composite_model_name"] == "pair"
    assert stage["input_info"] == [{"name": "x", "shape": [], "layout": ""}]
    assert stage["model_config"] == str(folder / "model.yml")
    assert stage["accuracy_config"] == str(folder / "accuracy-check.yml")


def test_print_all_prints_names_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """One name a line, exit code 0."""
    assert main(["--print_all"]) == 0
    assert capsys.readouterr().out == f"{NAME}\n"


@pytest.mark.parametrize("more", [["--all"], ["--name", "absent"], ["--list", "absent"]])
def test_print_all_comes_before_any_choice(
    more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside another choice it still prints the names, as the incumbent did."""
    assert main(["--print_all", *more]) == 0
    assert capsys.readouterr().out == f"{NAME}\n"


@pytest.mark.parametrize(
    ("shortened", "meant"),
    [
        (["--out", "x"], ["--output_dir", "x"]),
        (["--output=x", "--a"], ["--output_dir=x", "--all"]),
        (["--print", "--p"], ["--print_all", "--p"]),
        (["--name", "--", "--out"], ["--name", "--", "--out"]),
        (["-o", "x", "--accept", "--models_root"], ["-o", "x", "--accept", "--models_root"]),
    ],
)
def test_flags_may_be_shortened_as_they_were(shortened: list[str], meant: list[str]) -> None:
    """What was unambiguous among the incumbent's flags stays so beside the new ones."""
    assert written_out(shortened, DOWNLOADER_FLAGS) == meant


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], 'one of "--print_all", "--all", "--name" or "--list" must be specified'),
        (["--all", "--name", "x"], 'at most one of "--all", "--name" or "--list"'),
        (["--list", "x", "--name", "x"], 'at most one of "--all", "--name" or "--list"'),
        (["--all", "--config", "x", "--models_root", "y"], "at most one of"),
        (["--unknown"], "unrecognized"),
    ],
)
def test_bad_arguments_give_2(
    args: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not exactly one choice is an error of usage, said on stderr with the usage."""
    assert main(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: omz_info_dumper")
    assert said in err


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (f"{NAME} ignored words\n", [NAME]),
        ("# all of it is a comment\n\n  'background-*' # and this\n", [NAME]),
        ('"back"ground-*\n', [NAME]),
        ("", []),
    ],
)
def test_a_list_file_holds_patterns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, names: list[str]
) -> None:
    """Shell quoting, comments, and the first word of each line."""
    path = tmp_path / "models.lst"
    path.write_text(text, encoding="utf-8")
    assert main(["--list", str(path)]) == 0
    assert [model["name"] for model in json.loads(capsys.readouterr().out)] == names


def test_failures_are_one_line_and_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No match, a bad or missing list, a bad or missing model.yml: one line on stderr, exit 1."""
    missing = tmp_path / "missing"
    quote = tmp_path / "quote.lst"
    quote.write_text("fine\n'open\n", encoding="utf-8")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for args, said in (
        (["--name", f"{NAME},nothing"], 'No matching models: "nothing"'),
        (["--list", str(missing)], f"{missing}:1:1: can't be read"),
        (["--list", str(quote)], f"{quote}:2:1: No closing quotation"),
        (["--list", str(binary)], f"{binary}:1:1: not UTF-8"),
        (["--all", "--config", str(missing)], f"{missing}:1:1: can't be read"),
        (["--all", "--config", str(binary)], f"{binary}:1:1: byte 0xFF is not UTF-8"),
        (["--all", "--models_root", str(missing)], f"{missing}:1:1: holds no model.yml"),
    ):
        assert main(args) == 1, args
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert err.startswith(said)


def test_start_up_imports_nothing_heavy() -> None:
    """The command loads no library for tensors, downloads or progress bars."""
    code = (
        "import sys, toolchain.omz.info_dumper as command; command.main(['--all']);"
        "heavy = {'torch', 'openvino', 'onnx', 'numpy', 'requests', 'rich'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def _run(code: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    head = "import sys; from toolchain.cli.exits import run;"
    return subprocess.run(
        [sys.executable, "-c", head + code],
        check=False,
        timeout=60,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},  # type: ignore[call-overload]
    )


def test_a_reader_that_went_away_ends_the_command_quietly() -> None:
    """With stdout closed at the other end there is no traceback and no late complaint."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = _run("sys.exit(run(lambda: print('x' * 100000) or 0))", stdout=write_end)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_behind_stdout_is_one_line() -> None:
    """Output that can't be written is a failure in one line."""
    with Path("/dev/full").open("wb") as full:
        done = _run("sys.exit(run(lambda: print('x') or 0))", stdout=full)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1


def test_a_narrow_console_gets_escapes() -> None:
    """Characters that the console's encoding lacks do not stop the command."""
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = _run("sys.exit(run(lambda: print('\\u03b1') or 0))", env=env)
    assert (done.returncode, done.stdout.strip()) == (0, b"\\u03b1")


def test_exits_map_endings_to_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """Errors give their code and sentences, Ctrl-C 130, SystemExit its own code."""

    def raising(error: BaseException) -> int:
        def main() -> int:
            raise error

        return exits.run(main)

    assert exits.run(lambda: 7) == 7
    assert raising(UsageError("wrong", kept="kept", hint="hint")) == 2
    assert capsys.readouterr().err == "wrong\nkept\nhint\n"
    assert raising(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "Interrupted.\n"
    assert raising(SystemExit(3)) == 3
    assert raising(SystemExit(None)) == 0
    assert raising(SystemExit("text")) == 1
    assert capsys.readouterr().err == "text\n"
    assert raising(PermissionError(13, "Permission denied", "some/file")) == 1
    assert capsys.readouterr().err == "some/file: Permission denied\n"
