"""Output of the commands: progress on stderr, results for scripts on stdout."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, TextIO

from toolchain.printable import printable, printable_json, printable_lines
from toolchain.progress import Listener, SilentListener, Task

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINE_SECONDS = 10.0  # between two plain lines of one task


def print_json(value: object) -> None:
    """Print a result as JSON to stdout."""
    print(printable_json(value))


def make_listener(*, quiet: bool = False) -> Listener:
    """Return a listener that shows progress bars on a terminal and plain lines elsewhere.

    Args:
        quiet: Show nothing.
    """
    if quiet:
        return SilentListener()
    return Bars() if sys.stderr.isatty() else PlainLines()


class PlainLines:
    """Listener for logs: one line at the end of a task, and one every ten seconds before."""

    def __init__(self) -> None:
        self._stream = sys.stderr  # libraries may replace sys.stderr for a while

    def task(self, label: str, total: float | None = None, unit: str = "") -> Task:
        """Begin a piece of work, see `Listener.task`."""
        return _PlainTask(self, label, total, unit)

    def note(self, text: str) -> None:
        """Show one line, see `Listener.note`."""
        self._stream.write(f"{printable_lines(text)}\n")  # one call, as other threads may write too
        self._stream.flush()


class _PlainTask:
    def __init__(self, lines: PlainLines, label: str, total: float | None, unit: str) -> None:
        self._lines = lines
        self._label, self._total, self._unit = label, total, unit
        self._done = 0.0
        self._began = self._shown = time.monotonic()
        self._first: tuple[float, float] | None = None  # when anything was done, and how much

    def reach(self, done: float) -> None:
        self._done = done
        now = time.monotonic()
        if self._first is None and done:
            self._first = now, done
        if now - self._shown >= LINE_SECONDS:
            self._shown = now
            self._show()

    def expect(self, total: float | None) -> None:
        self._total = total

    def _show(self) -> None:
        done = _amount(self._done, "" if self._total and self._unit != "B" else self._unit)
        of = f" of {_amount(self._total, self._unit)}" if self._total else ""
        rate = ""
        if self._first is not None and self._done > self._first[1]:
            # The first frames take longer, so they are no measure of the time left.
            began, before = self._first
            left = None if self._total is None else self._total - self._done
            rate = _rate(self._done - before, self._shown - began, self._unit, left)
        self._lines.note(f"{self._label}: {done}{of}{rate}")

    def __enter__(self) -> _PlainTask:  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        ended = "failed" if kind else "done"
        if not kind and self._unit == "frames" and self._total and self._done < self._total:
            ended = f"ended before all {self._total:.0f}"
        seconds = time.monotonic() - self._began
        amount = _amount(self._done, self._unit) + _rate(self._done, seconds, self._unit)
        self._lines.note(f"{self._label}: {ended}, {amount}, {seconds:.1f} s")


class Bars:
    """Listener for terminals: one progress bar per task; tasks may run at the same time."""

    def __init__(self) -> None:
        self._stream = sys.stderr  # as in PlainLines
        self._display: Progress | None = None
        self._running = 0
        self._lock = threading.Lock()

    def task(self, label: str, total: float | None = None, unit: str = "") -> Task:
        """Begin a piece of work, see `Listener.task`."""
        return _Bar(self, label, total, unit)

    def note(self, text: str) -> None:
        """Show one line, see `Listener.note`."""
        display, text = self._display, printable_lines(text)
        if display is not None:
            display.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)
        else:
            print(text, file=self._stream, flush=True)

    def open(self) -> Progress:
        """Return the display for one more task; the first task starts it."""
        with self._lock:
            if self._display is None:
                self._display = _display(self._stream)
                self._display.start()
            self._running += 1
            return self._display

    def close(self) -> None:
        """End one task; the last one stops the display."""
        with self._lock:
            self._running -= 1
            if not self._running and self._display is not None:
                self._display.stop()
                self._display = None


class _Bar:
    def __init__(self, bars: Bars, label: str, total: float | None, unit: str) -> None:
        self._bars, self._label, self._total, self._unit = bars, label, total, unit
        self._display: Progress | None = None
        self._task: TaskID | None = None
        self._began = time.monotonic()

    def reach(self, done: float) -> None:
        if self._display is not None and self._task is not None:
            rate = _rate(done, time.monotonic() - self._began, self._unit)
            amount = f"{_amount(done, self._unit)}{rate}"
            self._display.update(self._task, completed=done, amount=amount)

    def expect(self, total: float | None) -> None:
        if self._display is not None and self._task is not None:
            self._display.update(self._task, total=total)

    def __enter__(self) -> _Bar:  # noqa: PYI034 - Self needs Python 3.11
        self._display = self._bars.open()
        self._task = self._display.add_task(printable(self._label), total=self._total, amount="")
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.close()


def _display(stream: TextIO) -> Progress:
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TextColumn("{task.fields[amount]}"),
        progress.TimeRemainingColumn(),
        console=Console(file=getattr(stream, "stream", stream)),  # its own escapes must pass
        redirect_stdout=sys.stdout.isatty(),  # a file or a pipe gets stdout unchanged
    )


def _rate(done: float, seconds: float, unit: str, remaining: float | None = None) -> str:
    """Frames per second, and the time for the remaining ones; empty for other units."""
    if unit != "frames" or not done or seconds <= 0:
        return ""
    left = "" if remaining is None else f", {max(0, remaining) * seconds / done:.0f} s left"
    return f", {done / seconds:.1f} frames/s{left}"


def _amount(value: float, unit: str) -> str:
    if unit == "B":
        return f"{value / 1e6:.1f} MB"
    return f"{value:.0f} {unit}".rstrip()
