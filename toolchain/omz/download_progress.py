"""How `omz_downloader` tells what it does: the incumbent's lines, or its JSON events."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from toolchain.catalog.records import ModelFile
from toolchain.progress import Listener, Task

QUIET_SECONDS = 5.0  # between two progress lines where stdout is no terminal
LIVELY_SECONDS = 0.1
KIB = 1024


class Stopped(Exception):  # noqa: N818 - no error: the person interrupted
    """Ends the downloads of other threads at their next sign of life."""


class _Told:
    """A task that hands each number on, and stops when it is told to."""

    def __init__(self, listener: _Numbers) -> None:
        self._listener = listener

    def reach(self, done: float) -> None:
        if self._listener.stop.is_set():
            raise Stopped
        self._listener.reached(int(done))

    def expect(self, total: float | None) -> None:
        self._listener.total = None if total is None else int(total)

    def __enter__(self) -> _Told:  # noqa: PYI034 - Self needs Python 3.11
        self._listener.began()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.ended()


class _Numbers:
    """A listener for one file; `stop`: set when the person has interrupted."""

    def __init__(self, stop: threading.Event) -> None:
        self.stop = stop
        self.total: int | None = None

    def task(self, label: str, total: float | None = None, unit: str = "") -> Task:
        self.total = None if total is None else int(total)
        return _Told(self)

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def began(self) -> None:
        pass

    def reached(self, done: int) -> None:
        pass

    def ended(self) -> None:
        pass


class JsonEvents:
    """One JSON object a line on stdout; sentences for people go to stderr."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def model(self, name: str, files: int) -> Iterator[None]:
        """See `Watcher.model`."""
        self.emit("model_download_begin", model=name, num_files=files)
        with self._ending("model_download_end", model=name):
            yield

    @contextlib.contextmanager
    def file(self, model: str, file: ModelFile, target: Path) -> Iterator[Listener]:
        """See `Watcher.file`."""
        self.emit("model_file_download_begin", model=model, model_file=file.name, size=file.size)
        with self._ending("model_file_download_end", model=model, model_file=file.name):
            yield _JsonNumbers(self, model, file.name)

    @contextlib.contextmanager
    def postprocessing(self, model: str) -> Iterator[None]:
        """See `Watcher.postprocessing`."""
        self.emit("model_postprocessing_begin", model=model)
        yield
        self.emit("model_postprocessing_end", model=model)

    def say(self, text: str = "") -> None:
        """A line for people."""
        print(text, file=sys.stderr, flush=True)

    def emit(self, kind: str, **values: object) -> None:
        """One event.  Threads don't mix their lines."""
        line = json.dumps({"$type": kind, **values}) + "\n"
        with self._lock:
            sys.stdout.write(line)
            sys.stdout.flush()

    @contextlib.contextmanager
    def _ending(self, kind: str, **values: object) -> Iterator[None]:
        successful = False
        try:
            yield
            successful = True
        finally:
            self.emit(kind, **values, successful=successful)


class _JsonNumbers(_Numbers):
    def __init__(self, events: JsonEvents, model: str, file: str) -> None:
        super().__init__(events.stop)
        self._events, self._model, self._file = events, model, file

    def reached(self, done: int) -> None:
        self._events.emit(
            "model_file_download_progress", model=self._model, model_file=self._file, size=done
        )


class TextLines:
    """The incumbent's headings and progress, on stdout."""

    def __init__(self, *, several: bool = False) -> None:
        self.stop = threading.Event()
        self._several = several

    @contextlib.contextmanager
    def model(self, name: str, files: int) -> Iterator[None]:
        """See `Watcher.model`."""
        self.say(f"{'#' * 16}|| Downloading {name} ||{'#' * 16}\n")
        yield

    @contextlib.contextmanager
    def file(self, model: str, file: ModelFile, target: Path) -> Iterator[Listener]:
        """See `Watcher.file`."""
        listener = _TextNumbers(self, target, lively=sys.stdout.isatty() and not self._several)
        yield listener
        if listener.quiet:
            self.say(f"========== In place, verified: {target}")
        self.say()

    @contextlib.contextmanager
    def postprocessing(self, model: str) -> Iterator[None]:
        """See `Watcher.postprocessing`."""
        self.say(f"========== Postprocessing {model}")
        yield
        self.say()

    def say(self, text: str = "") -> None:
        """A line for people."""
        print(text, flush=True)


class _TextNumbers(_Numbers):
    def __init__(self, lines: TextLines, target: Path, *, lively: bool) -> None:
        super().__init__(lines.stop)
        self._lines, self._target, self._lively = lines, target, lively
        self._began = self._said = time.monotonic()
        self._done = self._first = 0
        self.quiet = True

    def began(self) -> None:
        self._lines.say(f"========== Downloading {self._target}")
        self._began = self._said = time.monotonic()
        self._done = self._first = 0
        self.quiet = False

    def reached(self, done: int) -> None:
        if not self._done or done < self._first:
            self._first = done  # what an earlier run had fetched is no speed of this one
        self._done = done
        now = time.monotonic()
        if now - self._said >= (LIVELY_SECONDS if self._lively else QUIET_SECONDS):
            self._said = now
            self._say()

    def ended(self) -> None:
        self._say()
        if self._lively:
            self._lines.say()

    def _say(self) -> None:
        seconds = time.monotonic() - self._began
        speed = int((self._done - self._first) / (KIB * seconds)) if seconds else "?"
        percent = f"{self._done * 100 // self.total}%, " if self.total else ""
        line = f"... {percent}{self._done // KIB} KB, {speed} KB/s, {int(seconds)} seconds passed"
        print(line, end="\r" if self._lively else "\n", flush=True)
