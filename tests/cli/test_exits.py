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


def test_no_standard_output_at_all_gives_one_line() -> None:
    """It is a failure; a file that is opened meanwhile does not get its number."""
    code = "sys.exit(run(lambda: (open(sys.executable, 'rb'), print('x')) and 0))"
    head = "import sys; from toolchain.cli.exits import run;"
    shell = 'exec "$0" -c "$1" >&-'
    done = subprocess.run(
        ["sh", "-c", shell, sys.executable, head + code], check=False, capture_output=True
    )
    assert done.returncode == 1
    assert done.stderr == b"standard output is closed\n"


def test_a_closed_stderr_changes_nothing_else() -> None:
    """The result is written; messages are dropped."""
    code = "sys.exit(run(lambda: (print('x'), print('y', file=sys.stderr)) and 0))"
    head = "import sys; from toolchain.cli.exits import run;"
    shell = 'exec "$0" -c "$1" 2>&-'
    done = subprocess.run(
        ["sh", "-c", shell, sys.executable, head + code], check=False, capture_output=True
    )
    assert (done.returncode, done.stdout.strip()) == (0, b"x")


def test_control_characters_do_not_reach_the_terminal() -> None:
    """Neither in a result nor in an error, wherever the text came from."""
    done = _run(
        "from toolchain.errors import UsageError;"
        "exec('def main():\\n print(chr(27) + chr(7))\\n raise UsageError(chr(27) + chr(155))');"
        "sys.exit(run(main))"
    )
    assert done.stdout.strip() == rb"\x1b\x07"
    assert done.stderr.strip() == rb"\x1b\x9b"


@pytest.mark.parametrize(
    "error", ["MemoryError()", "ImportError('failed to map segment')", "RuntimeError('bad_alloc')"]
)
def test_too_little_memory_is_named_as_the_cause(error: str) -> None:
    """Instead of a traceback."""
    done = _run(f"sys.exit(run(lambda: (_ for _ in ()).throw({error})))")
    assert done.returncode == 1
    assert done.stderr.startswith(b"out of memory")
    assert b"Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of addresses")
def test_a_limit_that_is_too_low_is_reported_before_anything_is_loaded() -> None:
    """PyTorch would abort the process."""
    command = f"ulimit -v 400000; exec {sys.executable} -m toolchain.cli.main info"
    done = subprocess.run(["sh", "-c", command], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("not enough memory: the limit of this process is 390 MiB")


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
