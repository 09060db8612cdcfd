"""Listeners for people: progress bars on a terminal, plain lines elsewhere.  All on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from toolchain.progress import Listener, Silence, Task

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

QUIET_SECONDS = 10.0  # between two plain lines of one task


def listener(*, quiet: bool = False) -> Listener:
    """The one that fits: silence if asked for, bars on a terminal, else plain lines."""
    if quiet:
        return Silence()
    return Bars() if sys.stderr.isatty() else PlainLines()


class PlainLines:
    """A line at the beginning, the end, and every ten seconds in between; fit for CI logs."""

    def task(self, label: str, total: float | None = None, unit: str = "") -> Task:
        """See `Listener.task`."""
        return _PlainTask(label, total, unit)

    def note(self, text: str) -> None:
        """See `Listener.note`."""
        print(text, file=sys.stderr, flush=True)


class _PlainTask:
    def __init__(self, label: str, total: float | None, unit: str) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._done = 0.0
        self._began = self._said = time.monotonic()

    def reach(self, done: float) -> None:
        self._done = done
        now = time.monotonic()
        if now - self._said >= QUIET_SECONDS:
            self._said = now
            self._say()

    def expect(self, total: float | None) -> None:
        self._total = total

    def _say(self) -> None:
        done = _amount(self._done, "" if self._total and self._unit != "B" else self._unit)
        of = f" of {_amount(self._total, self._unit)}" if self._total else ""
        print(f"{self._label}: {done}{of}", file=sys.stderr, flush=True)

    def __enter__(self) -> _PlainTask:  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        ended = "failed" if kind else "done"
        seconds = time.monotonic() - self._began
        amount = _amount(self._done, self._unit)
        print(f"{self._label}: {ended}, {amount}, {seconds:.1f} s", file=sys.stderr, flush=True)


class Bars:
    """One progress bar a task, with rate and time left."""

    def task(self, label: str, total: float | None = None, unit: str = "") -> Task:
        """See `Listener.task`."""
        return _Bar(label, total, unit)

    def note(self, text: str) -> None:
        """See `Listener.note`."""
        print(text, file=sys.stderr, flush=True)


class _Bar:
    def __init__(self, label: str, total: float | None, unit: str) -> None:
        from rich import progress
        from rich.console import Console

        columns: list[progress.ProgressColumn] = [
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
        ]
        if unit == "B":
            columns += [progress.DownloadColumn(), progress.TransferSpeedColumn()]
        else:
            columns.append(progress.TextColumn("{task.completed:.0f}/{task.total} " + unit))
        columns.append(progress.TimeRemainingColumn())
        self._progress: Progress = progress.Progress(*columns, console=Console(stderr=True))
        self._task: TaskID = self._progress.add_task(label, total=total)

    def reach(self, done: float) -> None:
        self._progress.update(self._task, completed=done)

    def expect(self, total: float | None) -> None:
        self._progress.update(self._task, total=total)

    def __enter__(self) -> _Bar:  # noqa: PYI034 - Self needs Python 3.11
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()


def _amount(value: float, unit: str) -> str:
    if unit == "B":
        return f"{value / 1e6:.1f} MB"
    return f"{value:.0f} {unit}".rstrip()
