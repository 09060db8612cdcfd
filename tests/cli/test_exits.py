"""How commands end: exit codes and messages, without a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from toolchain.cli import exits
from toolchain.errors import UsageError


def _run(code: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    head = "import sys; from toolchain.cli.exits import run;"
    return subprocess.run(
        [sys.executable, "-c", head + code],
        check=False,
        timeout=60,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},  # type: ignore[call-overload]
    )


def test_a_closed_stdout_ends_the_command_without_a_message() -> None:
    """There is no traceback, and no error when the interpreter exits."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = _run("sys.exit(run(lambda: print('x' * 100000) or 0))", stdout=write_end)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_gives_one_line() -> None:
    """Output that cannot be written is a failure with one line on stderr."""
    with Path("/dev/full").open("wb") as full:
        done = _run("sys.exit(run(lambda: print('x') or 0))", stdout=full)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1


def test_unsupported_characters_are_escaped() -> None:
    """Characters outside the encoding of the console do not stop the command."""
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = _run("sys.exit(run(lambda: print('\\u03b1') or 0))", env=env)
    assert (done.returncode, done.stdout.strip()) == (0, b"\\u03b1")


def test_exits_map_endings_to_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """Errors give their code and message, Ctrl-C 130, SystemExit its own code."""

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
