"""omz_downloader: flags, exit codes, Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.web_server import slowly
from toolchain.omz.downloader import main

ROOT = Path(__file__).parents[2]


def test_precisions_choose_files_and_models(collection, tmp_path, capsys) -> None:
    """Folders of other precisions are not downloaded; a model without the precision is skipped."""
    arguments = ["--models_root", str(collection), "-o", str(tmp_path), "--precisions", "FP16"]
    assert main(["--all", *arguments]) == 0
    assert (tmp_path / "intel" / "whole" / "FP16" / "whole.bin").exists()
    assert not (tmp_path / "intel" / "whole" / "FP32").exists()
    assert "Skipping broken (model is unsupported in FP16 precisions)" in capsys.readouterr().out


def test_failed_models_are_listed_at_the_end(collection, tmp_path, capsys) -> None:
    """Exit code 1, FAILED: and the names, no traceback; the other models are complete."""
    assert main(["--all", "--models_root", str(collection), "-o", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert out.endswith("FAILED:\nbroken\n")
    assert "404 Not Found" in err
    assert "Traceback" not in err
    assert (tmp_path / "intel" / "whole" / "FP32" / "whole.bin").exists()


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_empty_list_downloads_nothing(tmp_path, jobs) -> None:
    """That is a success."""
    (tmp_path / "models.lst").touch()
    assert main(["--list", str(tmp_path / "models.lst"), "-j", jobs]) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_ends_it_soon_and_keeps_the_part(server, collection, whole, tmp_path, jobs) -> None:
    """Exit code 130, one line, and a partial file for the next run."""
    server.serve("/intel/whole/FP32/whole.bin", slowly(whole["FP32/whole.bin"], 300, 0.05))
    command = [sys.executable, "-m", "toolchain.omz.downloader", "--name", "whole", "-j", jobs]
    command += ["--models_root", str(collection), "-o", str(tmp_path)]
    partial = tmp_path / "intel" / "whole" / "FP32" / ".whole.bin.partial"
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not (
            partial.exists() and partial.stat().st_size > 20_000
        ):
            time.sleep(0.01)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
        assert time.monotonic() - began < 3
    assert process.returncode == 130
    assert err == "Interrupted.\n"
    assert partial.stat().st_size > 20_000


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--all", "--precisions", "FP33"], 1, "Unknown precisions specified: FP33."),
        (["--all", "-j", "0"], 2, "must be a positive integer (got '0')"),
        (["--all", "--num_attempts", "x"], 2, "must be a positive integer (got 'x')"),
        (["--all", "--progress_format", "xml"], 2, "invalid choice"),
        ([], 2, "must be specified"),
        (["--name", "absent"], 1, 'No matching models: "absent"'),
    ],
)
def test_bad_arguments(capsys, arguments, code, message) -> None:
    """1 for names that do not exist, 2 for what argparse refuses."""
    assert main(arguments) == code
    assert message in capsys.readouterr().err
