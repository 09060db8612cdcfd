"""Interface by which long-running work reports its progress.

A stage gets a `Listener` and opens one `Task` per long piece of work.  The command line listens
with progress bars, plain lines or JSON events; library calls may use `SilentListener`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol


class Task(AbstractContextManager["Task"], Protocol):
    """One piece of work.  Leaving the context ends it; an exception marks it as failed."""

    def reach(self, done: float) -> None:
        """Report that `done` units are finished.  May be less than before if work restarts."""

    def expect(self, total: float | None) -> None:
        """Set the total number of units once it is known."""


class Listener(Protocol):
    """Receiver of progress reports and notes."""

    def task(self, label: str, total: float | None = None, unit: str = "") -> Task:
        """Begin a piece of work.

        Args:
            label: Name of the work, for people.
            total: Number of units, None if unknown.
            unit: "B" for bytes, else a plural such as "frames".
        """

    def note(self, text: str) -> None:
        """Show one line to the user (never on stdout, which scripts read)."""


class _SilentTask:
    def reach(self, done: float) -> None:
        pass

    def expect(self, total: float | None) -> None:
        pass

    def __enter__(self) -> _SilentTask:  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        pass


class SilentListener:
    """A listener that discards everything."""

    def task(self, label: str, total: float | None = None, unit: str = "") -> Task:
        """Begin a piece of work that reports nothing."""
        return _SilentTask()

    def note(self, text: str) -> None:
        """Discard the note."""
