"""`matting package`, `verify` and `unpack`: output, messages, exit codes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.keys import write_keys
from tests.support.packages import FILES, flip_bit, write_folder, write_small
from toolchain import __version__
from toolchain.cli import main as matting
from toolchain.cli.main import main

NAME = "small-matting"
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def options(reported: Path) -> list[str]:
    place = reported.parents[2]
    return ["--config", str(place / "model.yml"), "-o", str(place / "out")]


def test_package_lists_the_files_and_the_archive(
    options: list[str], tmp_path: Path, capsys: Capture
) -> None:
    """It prints sizes, roles, digest and weights; a signed archive can be verified."""
    private, public = write_keys(tmp_path)
    target = tmp_path / "dist"
    assert main(["package", *options, "--to", str(target), "--sign", str(private)]) == 0
    out, err = capsys.readouterr()
    archive = target / f"{NAME}-{__version__}.tar.gz"
    signature = target / f"{archive.name}.sig"
    assert f"\n{archive}\nsha256 {hashlib.sha256(archive.read_bytes()).hexdigest()}\n" in out
    assert str(signature) in out
    assert f"FP16/{NAME}.bin" in out
    assert out.splitlines()[-1].startswith("Weights: ")
    assert "Packaging: done" in err
    assert sorted(target.iterdir()) == [archive, signature]
    assert main(["verify", str(archive), "--verify-key", str(public), "-q"]) == 0
    assert "signed   by the owner of the key" in capsys.readouterr().out


def test_package_in_json_and_dry(options: list[str], tmp_path: Path, capsys: Capture) -> None:
    """JSON is all of stdout; a dry run names the archive and changes nothing."""
    target = tmp_path / "dist"
    arguments = ["package", *options, "--to", str(target), "--version", "3.4"]
    assert main([*arguments, "--dry-run"]) == 0
    archive = target / f"{NAME}-3.4.tar.gz"
    assert str(archive) in capsys.readouterr().out
    assert not target.exists()
    assert main([*arguments, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["archive"] == str(archive)
    assert main([*arguments, "--json", "-q"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["archive"], result["signature"]) == (str(archive), None)
    assert {"path", "size", "sha256", "sha384", "role"} == set(result["files"][0])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["package", "-o", "nowhere"], 1, "has not been validated"),
        (["package", "-o", "nowhere", "--version", "a/b"], 2, "--version a/b"),
        (["verify", "nowhere.tar.gz"], 1, "nowhere.tar.gz: file not found"),
        (["verify", "x", "--device", "GPU"], 2, "--device has no effect without --run"),
        (["verify", "x", "--signature", "s"], 2, "--signature has no effect without --verify-key"),
        (["unpack", "x", "-o", "y", "--signature", "s"], 2, "--signature has no effect"),
        (["unpack", "x"], 2, "required: -o/--output"),
        (["unpack", "x", "-o", "y", "--layout", "zip"], 2, "invalid choice"),
        (["unpack", "x", "-o", "y", "--sign", "nowhere"], 2, "cannot be used as a private key"),
        (["unpack", "nowhere", "-o", "y"], 1, "nowhere: file not found"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_invalid_requests_give_a_message(
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The message is on stderr, stdout is empty, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_verify_lists_the_differences_and_gives_1(tmp_path: Path, capsys: Capture) -> None:
    """Missing, extra and changed files, as text and as JSON; without differences it gives 0."""
    folder = write_folder(tmp_path / "m")
    assert main(["verify", str(folder), "-q"]) == 0
    assert "files    match the manifest" in capsys.readouterr().out
    (folder / "m.onnx").write_bytes(flip_bit(FILES["m.onnx"], 0))
    (folder / "README.md").unlink()
    (folder / "more").write_text("x")
    assert main(["verify", str(folder), "-q"]) == 1
    out, err = capsys.readouterr()
    for line in ("missing  README.md", "extra    more", "changed  m.onnx"):
        assert line in out
    assert "changed: m.onnx: sha256" in err
    assert main(["verify", str(folder), "--json", "-q"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["package"] == str(folder)
    assert (result["verdict"], result["missing"], result["extra"]) == (
        "fail",
        ["README.md"],
        ["more"],
    )
    assert [change["name"] for change in result["changed"]] == ["m.onnx"]


def test_verify_runs_the_sample(packaged: Path, capsys: Capture) -> None:
    """One row per output, with the share of values that differ and the permitted one."""
    assert main(["verify", str(packaged), "--run", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["verdict"] == "pass"
    assert [run["verdict"] for run in result["runs"]] == ["pass"] * 4


def test_an_unsigned_package_gives_1_if_a_key_is_given(tmp_path: Path, capsys: Capture) -> None:
    """A file that is not a key gives 2."""
    archive = write_small(tmp_path / "m-1.0.tar.gz")
    _, public = write_keys(tmp_path)
    assert main(["verify", str(archive), "--verify-key", str(public)]) == 1
    assert "is not signed" in capsys.readouterr().err
    (tmp_path / "m-1.0.tar.gz.sig").write_text("{}")
    assert main(["verify", str(archive), "--verify-key", str(tmp_path / "nowhere")]) == 2
    assert "cannot be used as a public key" in capsys.readouterr().err


def test_unpack_prints_the_files(tmp_path: Path, capsys: Capture) -> None:
    """One path per line, or JSON."""
    archive = write_small(tmp_path / "m-1.0.tar.gz")
    for form in ([], ["--json"]):
        target = tmp_path / f"out{len(form)}"
        assert main(["unpack", str(archive), "-o", str(target), "-q", *form]) == 0
        out = capsys.readouterr().out
        result = json.loads(out)["files"] if form else out.splitlines()
        assert result == [str(target / name) for name in sorted(FILES)]


@pytest.mark.parametrize("name", ["package", "verify", "unpack"])
def test_help_shows_an_example_that_parses(name: str, capsys: Capture) -> None:
    """--help exits with 0 and writes only to stdout."""
    assert main([name, "--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    example = out.rpartition("example:")[2].split()
    assert example[:2] == ["matting", name]
    assert matting.create_parser().parse_args(example[1:]).command == name


def test_without_the_extra_only_signing_is_refused(
    options: list[str], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packaging needs no cryptography; the message for --sign names the extra to install."""
    monkeypatch.setitem(sys.modules, "model_signing", None)
    target = tmp_path / "dist"
    arguments = ["package", *options, "--to", str(target), "-q"]
    assert main([*arguments, "--sign", "key.pem"]) == 1
    assert "background-matting-toolchain[sign]" in capsys.readouterr().err
    assert not target.exists()
    assert main(arguments) == 0


def test_a_refused_build_loads_no_framework(tmp_path: Path) -> None:
    """A build that was not validated is refused before PyTorch, OpenVINO or ONNX are loaded."""
    folder = tmp_path / "out" / "public" / "background-matting-mobilenetv2-bundled"
    code = (
        "import sys; from toolchain.cli.main import main;"
        "code = main(sys.argv[1:]);"
        "print(code, [n for n in ('torch', 'openvino', 'onnx', 'numpy') if n in sys.modules])"
    )
    for record in (None, "{}"):
        if record is not None:
            folder.mkdir(parents=True)
            (folder / "validation.json").write_text(record, encoding="utf-8")
        arguments = ["package", "--weights", "bundled", "-o", str(tmp_path / "out")]
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
        )
        assert done.stdout.splitlines()[-1] == "1 []", done.stderr
        assert "Nothing was packaged." in done.stderr
