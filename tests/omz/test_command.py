"""What the omz commands share: flags, the choice of models, errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from toolchain.omz.downloader import create_parser
from toolchain.omz.downloader import main as download
from toolchain.omz.info_dumper import main

NAME = "background-matting-mobilenetv2"


def test_print_all_prints_only_names(capsys: pytest.CaptureFixture[str]) -> None:
    """One name per line, exit code 0."""
    assert main(["--print_all"]) == 0
    assert capsys.readouterr().out == f"{NAME}\n"


@pytest.mark.parametrize("more", [["--all"], ["--name", "absent"], ["--list", "absent"]])
def test_print_all_comes_before_any_choice(
    more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Together with another choice it still prints the names, as in Open Model Zoo."""
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
def test_flags_may_be_shortened_as_in_open_model_zoo(
    shortened: list[str], meant: list[str]
) -> None:
    """A prefix of one flag of Open Model Zoo stays valid, whatever the new flags are."""
    assert create_parser().expand(shortened) == meant


def test_flags_with_underscores_are_accepted_with_dashes() -> None:
    """Both spellings set the same option."""
    words = ["--all", "--output-dir", "x", "--num-attempts=2"]
    options = create_parser().parse_args(words)
    assert (options.output_dir, options.num_attempts) == (Path("x"), 2)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], 'one of "--print_all", "--all", "--name" or "--list" must be specified'),
        (["--all", "--name", "x"], 'at most one of "--all", "--name" or "--list"'),
        (["--list", "x", "--name", "x"], 'at most one of "--all", "--name" or "--list"'),
        (["--all", "--config", "x", "--models_root", "y"], "at most one of"),
        (["--unknown"], "unrecognized"),
    ],
)
def test_bad_arguments_give_2(
    args: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without exactly one choice the usage and a message go to stderr."""
    assert main(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: omz_info_dumper")
    assert message in err


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (f"{NAME} ignored words\n", [NAME]),
        ("# all of it is a comment\n\n  'background-*' # and this\n", [NAME]),
        ('"back"ground-*\n', [NAME]),
        ("", []),
    ],
)
def test_a_list_file_has_patterns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, names: list[str]
) -> None:
    """Shell quoting, comments, and the first word of each line."""
    path = tmp_path / "models.lst"
    path.write_text(text, encoding="utf-8")
    assert main(["--list", str(path)]) == 0
    assert [model["name"] for model in json.loads(capsys.readouterr().out)] == names


def test_failures_are_one_line_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No match, a bad or missing list, a bad or missing model.yml: one sentence, exit 1."""
    missing = tmp_path / "missing"
    quote = tmp_path / "quote.lst"
    quote.write_text("fine\n'open\n", encoding="utf-8")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for args, message in (
        (["--name", f"{NAME},nothing"], 'No matching models: "nothing"'),
        (["--list", str(missing)], f"{missing}:1:1: cannot be read"),
        (["--list", str(quote)], f"{quote}:2:1: No closing quotation"),
        (["--list", str(binary)], f"{binary}:1:1: not UTF-8"),
        (["--all", "--config", str(missing)], f"{missing}:1:1: cannot be read"),
        (["--all", "--config", str(binary)], f"{binary}:1:1: not UTF-16"),
        (["--all", "--models_root", str(missing)], f"{missing}:1:1: no model.yml found"),
    ):
        assert main(args) == 1, args
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == (2 if message.startswith("No matching") else 1)
        assert err.startswith(message)


def test_a_model_that_cannot_be_read_is_named_and_the_others_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On stderr; the collection may be named by an environment variable."""
    good = "description: d\ntask_type: detection\nframework: onnx\nlicense: MIT\nfiles: []\n"
    for name, text in (("good", f"{good}model_optimizer_args: []\n"), ("bad", "a: [")):
        (tmp_path / "public" / name).mkdir(parents=True)
        (tmp_path / "public" / name / "model.yml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("OMZ_MODELS_ROOT", str(tmp_path))
    assert main(["--all"]) == 1
    out, err = capsys.readouterr()
    assert [entry["name"] for entry in json.loads(out)] == ["good"]
    assert "bad/model.yml:1:5: invalid YAML" in err.replace("\\", "/")
    assert main(["--name", "good"]) == 0
    capsys.readouterr()
    assert main(["--print_all"]) == 0
    out, err = capsys.readouterr()
    assert out == "good\n"
    assert "bad/model.yml" in err.replace("\\", "/")


def test_an_empty_list_is_no_error(tmp_path: Path) -> None:
    """Nothing is done, with any number of jobs."""
    (tmp_path / "empty.lst").write_text("# nothing\n", encoding="utf-8")
    arguments = ["--list", str(tmp_path / "empty.lst"), "-o", str(tmp_path)]
    assert download([*arguments, "-j", "2"]) == 0
