"""Commands in processes of their own, watched: time, memory, disk, output.

Linux only.  A process that has imported the program forks for each command, which saves the start.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import resource
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROGRAMS = {
    "matting": "toolchain.cli.main",
    "omz_downloader": "toolchain.omz.downloader",
    "omz_converter": "toolchain.omz.converter",
    "omz_info_dumper": "toolchain.omz.info_dumper",
    "omz_quantizer": "toolchain.omz.quantizer",
    "function": "campaign.functions",
}
POLL_SECONDS = 0.01
DISK_SECONDS = 0.1  # between two measurements of the disk
CRASHED = 70  # exit code after an exception that the program did not handle


@dataclass(frozen=True)
class Command:
    """A command to run.

    Attributes:
        program: A key of `PROGRAMS`.
        arguments: Its arguments.
        folder: Current folder; its growth is the growth of the disk.
        seconds: Time after which it hangs.
        environment: Variables to set.
        kill_after: Seconds until it gets `kill_signal`; None: never.
        kill_signal: Number of the signal.
        addresses: Limit on its addresses in bytes, 0 for none.
        file_size: Limit on the size of its files in bytes, 0 for none.
        stdout: File to write standard output to, None for a recorded one, "" for a closed one.
        anew: Start a new interpreter instead of forking.
    """

    program: str
    arguments: tuple[str, ...]
    folder: Path
    seconds: float = 60.0
    environment: dict[str, str] = field(default_factory=dict)
    kill_after: float | None = None
    kill_signal: int = signal.SIGKILL
    addresses: int = 0
    file_size: int = 0
    stdout: str | None = None
    anew: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a command did.

    Attributes:
        code: Exit code; negative for a signal.
        output: Its standard output.
        errors: Its standard error.
        seconds: Its time.
        hung: Whether it had to be stopped.
        memory: Growth of its memory in bytes.
        disk: Largest growth of its folder in bytes.
    """

    code: int
    output: str
    errors: str
    seconds: float
    hung: bool
    memory: int
    disk: int


class Forks:
    """A process that forks for each command.

    Args:
        modules: Modules to import once, besides those of the programs.
    """

    def __init__(self, modules: Sequence[str] = ()) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, tuple(modules)), daemon=True)
        self._process.start()
        theirs.close()

    def run(self, *commands: Command) -> list[Outcome]:
        """Run commands at the same time."""
        self._ours.send_bytes(pickle.dumps(commands))
        outcomes: list[Outcome] = pickle.loads(self._ours.recv_bytes())
        return outcomes

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            self._ours.send_bytes(pickle.dumps(()))
        self._process.join(10)
        self._process.kill()


def measure_folder(folder: Path) -> int:
    """Return the bytes that the files below a folder occupy."""
    total = 0
    for here, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(here, name)).st_blocks * 512
    return total


def _serve(pipe: Connection, modules: tuple[str, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the campaign ends this process
    for name in (*PROGRAMS.values(), *modules):
        import_module(name)
    while True:
        try:
            commands = pickle.loads(pipe.recv_bytes())
        except EOFError:
            return
        if not commands:
            return
        pipe.send_bytes(pickle.dumps(_run_all(commands)))


@dataclass
class _Running:
    command: Command
    pid: int
    began: float
    before: int
    base: int
    disk: int = 0
    anonymous: int = 0
    first: int | None = None
    killed: bool = False
    hung: bool = False
    outcome: Outcome | None = None


def _run_all(commands: Sequence[Command]) -> list[Outcome]:
    running = [_start(number, command) for number, command in enumerate(commands)]
    measured = 0.0
    while any(one.outcome is None for one in running):
        now = time.monotonic()
        if now - measured >= DISK_SECONDS:
            for one in running:
                one.disk = max(one.disk, measure_folder(one.command.folder) - one.before)
            measured = time.monotonic()
        for number, one in enumerate(running):
            if one.outcome is None:
                _measure_memory(one)
                _watch(number, one, now)
        time.sleep(POLL_SECONDS)
    return [one.outcome for one in running if one.outcome is not None]


def _watch(number: int, one: _Running, now: float) -> None:
    command, age = one.command, now - one.began
    if command.kill_after is not None and age >= command.kill_after and not one.killed:
        one.killed = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(one.pid, command.kill_signal)
    if age >= command.seconds and not one.hung:
        one.hung = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.pid, signal.SIGKILL)
    pid, status, usage = os.wait4(one.pid, os.WNOHANG)
    if not pid:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(one.pid, signal.SIGKILL)  # its own children
    texts = []
    for name in _names(number):
        path = command.folder.parent / name
        texts.append(path.read_bytes()[-200_000:].decode(errors="replace") if path.exists() else "")
        path.unlink(missing_ok=True)
    one.disk = max(one.disk, measure_folder(command.folder) - one.before)
    one.outcome = Outcome(
        os.waitstatus_to_exitcode(status),
        texts[0],
        texts[1],
        age,
        one.hung,
        max(one.anonymous, usage.ru_maxrss * 1024 - one.base, 0),
        one.disk,
    )


def _measure_memory(one: _Running) -> None:
    """Measure its own pages, which a fork begins with as many as its parent has.

    The peak that the system reports also counts its children, but begins with what the parent has
    mapped from files.
    """
    with contextlib.suppress(OSError, StopIteration, ValueError):
        found = _read_status(one.pid, "RssAnon")
        if one.first is None:
            one.first = 0 if one.command.anew else found
        one.anonymous = max(one.anonymous, found - one.first)


def _names(number: int) -> tuple[str, str]:
    return f"stdout-{number}", f"stderr-{number}"


def _start(number: int, command: Command) -> _Running:
    before = measure_folder(command.folder)
    # What a fork has inherited counts as its own; a new interpreter begins with nothing.
    base = 0 if command.anew else _read_status(os.getpid(), "VmRSS")
    began = time.monotonic()
    pid = os.fork()
    if pid:
        return _Running(command, pid, began, before, base)
    code = CRASHED
    try:
        code = _be_the_command(number, command)
    except BaseException:  # noqa: BLE001 - what the program let through
        traceback.print_exc()
    with contextlib.suppress(BaseException):
        sys.stderr.flush()
    os._exit(code & 0xFF)


def _read_status(pid: int, key: str) -> int:
    """Return an amount of memory of a process in bytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in status if line.startswith(f"{key}:"))


def _be_the_command(number: int, command: Command) -> int:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    out, err = (command.folder.parent / name for name in _names(number))
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    target = str(out) if command.stdout in (None, "") else str(command.stdout)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(target, flags), 1)
    os.dup2(os.open(err, flags), 2)
    os.chdir(command.folder)
    os.environ.update(command.environment)
    if command.file_size:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (command.file_size, command.file_size))
    if command.addresses:
        resource.setrlimit(resource.RLIMIT_AS, (command.addresses, command.addresses))
    if command.anew:
        if command.stdout == "":
            os.close(1)
        module = PROGRAMS[command.program]
        os.environ["PYTHONPATH"] = str(ROOT)
        os.execv(sys.executable, [sys.executable, "-m", module, *command.arguments])
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)
    if command.stdout == "":
        os.close(1)
        sys.stdout = None
    result = import_module(PROGRAMS[command.program]).main(list(command.arguments))
    if sys.stdout is not None:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
    return int(result or 0)
