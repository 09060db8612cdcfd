"""How stages tell how far they are, without knowing who listens.

A stage gets a `Listener` and opens one `Task` for each long piece of work.  The command line
listens with progress bars, plain lines or JSON events; a library call may listen to nothing.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol


class Task(AbstractContextManager["Task"], Protocol):
    """One piece of work.  Leaving the context ends it; by an exception means it failed."""

    def reach(self, done: float) -> None:
        """`done` units of the total are finished.  May fall when the work starts over."""

    def expect(self, total: float | None) -> None:
        """The total, once it is known."""


class Listener(Protocol):
    """Whoever wants to know."""

    def task(self, label: str, total: float | None = None, unit: str = "") -> Task:
        """Begin `label`; `unit` is "B" for bytes, else a plural such as "frames"."""

    def note(self, text: str) -> None:
        """Say one line to the person (never to a script's stdout)."""


class _SilentTask:
    def reach(self, done: float) -> None:
        pass

    def expect(self, total: float | None) -> None:
        pass

    def __enter__(self) -> _SilentTask:  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


class Silence:
    """A listener that says nothing."""

    def task(self, label: str, total: float | None = None, unit: str = "") -> Task:
        return _SilentTask()

    def note(self, text: str) -> None:
        pass
