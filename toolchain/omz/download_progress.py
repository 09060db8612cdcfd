"""Progress of `omz_downloader` in the formats of Open Model Zoo: text, or JSON events."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from toolchain.catalog.records import ModelFile
from toolchain.omz.command import Write, line_writer
from toolchain.progress import Listener, Task

LINE_SECONDS = 5.0  # between two lines of progress where stdout is not a terminal
REFRESH_SECONDS = 0.1
KIB = 1024


class Stopped(Exception):  # noqa: N818 - not an error: the user pressed Ctrl-C
    """Ends the downloads of the other threads at their next progress."""


class DownloadProgress(ABC):
    """Receives each step of a download.  A step that ends with an exception has failed.

    Attributes:
        write: Writes a line for people.
        stop: Set to end all downloads.
    """

    def __init__(self, write: Write) -> None:
        self.write = write
        self.stop = threading.Event()

    @abstractmethod
    def model(self, name: str, files: int) -> AbstractContextManager[object]:
        """Report the download of a model.

        Args:
            name: Name of the model.
            files: Number of its published files.
        """

    @abstractmethod
    def file(self, model: str, file: ModelFile, target: Path) -> AbstractContextManager[Listener]:
        """Report the download of one file.

        Args:
            model: Name of the model.
            file: The file as published.
            target: Path of the file here.

        Returns:
            A context with the listener of the download.
        """

    @abstractmethod
    def postprocessing(self, model: str) -> AbstractContextManager[object]:
        """Report the postprocessing of a model's files."""


class _FileListener(ABC):
    """Listener of the download of one file; the download is its only task."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._total: float | None = None

    def task(self, label: str, total: float | None = None, unit: str = "") -> Task:
        self._total = total
        return self

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def expect(self, total: float | None) -> None:
        self._total = total

    def reach(self, done: float) -> None:
        if self._stop.is_set():
            raise Stopped
        self._update(int(done))

    @abstractmethod
    def _update(self, done: int) -> None:
        """Report the number of bytes."""

    def __enter__(self) -> _FileListener:  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        return


class JsonProgress(DownloadProgress):
    """One JSON object per line on stdout; lines for people go to stderr."""

    def __init__(self) -> None:
        super().__init__(line_writer(sys.stderr))
        self._write_event = line_writer(sys.stdout)

    @contextlib.contextmanager
    def model(self, name: str, files: int) -> Iterator[None]:
        """See `DownloadProgress.model`."""
        self.emit("model_download_begin", model=name, num_files=files)
        with self._emit_end("model_download_end", model=name):
            yield

    @contextlib.contextmanager
    def file(self, model: str, file: ModelFile, target: Path) -> Iterator[Listener]:
        """See `DownloadProgress.file`."""
        self.emit("model_file_download_begin", model=model, model_file=file.name, size=file.size)
        with self._emit_end("model_file_download_end", model=model, model_file=file.name):
            yield _JsonListener(self, model, file.name)

    @contextlib.contextmanager
    def postprocessing(self, model: str) -> Iterator[None]:
        """See `DownloadProgress.postprocessing`."""
        self.emit("model_postprocessing_begin", model=model)
        yield
        self.emit("model_postprocessing_end", model=model)

    def emit(self, kind: str, **values: object) -> None:
        """Write one event."""
        self._write_event(json.dumps({"$type": kind, **values}))

    @contextlib.contextmanager
    def _emit_end(self, kind: str, **values: object) -> Iterator[None]:
        successful = False
        try:
            yield
            successful = True
        finally:
            self.emit(kind, **values, successful=successful)


class _JsonListener(_FileListener):
    def __init__(self, progress: JsonProgress, model: str, file: str) -> None:
        super().__init__(progress.stop)
        self._emit = progress.emit
        self._names = {"model": model, "model_file": file}

    def _update(self, done: int) -> None:
        self._emit("model_file_download_progress", **self._names, size=done)


class TextProgress(DownloadProgress):
    """The headings and lines of progress of Open Model Zoo on stdout.

    Args:
        concurrent: Whether several files are downloaded at the same time.
    """

    def __init__(self, *, concurrent: bool = False) -> None:
        super().__init__(line_writer(sys.stdout))
        self._refreshes = sys.stdout.isatty() and not concurrent

    @contextlib.contextmanager
    def model(self, name: str, files: int) -> Iterator[None]:
        """See `DownloadProgress.model`."""
        self.write(f"{'#' * 16}|| Downloading {name} ||{'#' * 16}\n")
        yield

    @contextlib.contextmanager
    def file(self, model: str, file: ModelFile, target: Path) -> Iterator[Listener]:
        """See `DownloadProgress.file`."""
        listener = _TextListener(self, target, refreshes=self._refreshes)
        yield listener
        if not listener.downloaded:
            self.write(f"========== In place, verified: {target}")
        self.write("")

    @contextlib.contextmanager
    def postprocessing(self, model: str) -> Iterator[None]:
        """See `DownloadProgress.postprocessing`."""
        self.write(f"========== Postprocessing {model}")
        yield
        self.write("")


class _TextListener(_FileListener):
    """`refreshes`: whether each line of progress replaces the one before, on a terminal."""

    def __init__(self, progress: TextProgress, target: Path, *, refreshes: bool) -> None:
        super().__init__(progress.stop)
        self._write, self._target, self._refreshes = progress.write, target, refreshes
        self._began = self._last_line = time.monotonic()
        self._done = self._first = 0
        self.downloaded = False

    def __enter__(self) -> _TextListener:  # noqa: PYI034 - Self needs Python 3.11
        self._write(f"========== Downloading {self._target}")
        self._began = self._last_line = time.monotonic()
        self._done = self._first = 0
        self.downloaded = True
        return self

    def __exit__(self, *_: object) -> None:
        self._write_line()
        if self._refreshes:
            self._write("")

    def _update(self, done: int) -> None:
        if not self._done or done < self._first:
            self._first = done  # bytes of an earlier run do not count for the speed
        self._done = done
        now = time.monotonic()
        if now - self._last_line >= (REFRESH_SECONDS if self._refreshes else LINE_SECONDS):
            self._last_line = now
            self._write_line()

    def _write_line(self) -> None:
        seconds = time.monotonic() - self._began
        speed = int((self._done - self._first) / (KIB * seconds)) if seconds else "?"
        percent = f"{int(self._done * 100 // self._total)}%, " if self._total else ""
        line = f"... {percent}{self._done // KIB} KB, {speed} KB/s, {int(seconds)} seconds passed"
        print(line, end="\r" if self._refreshes else "\n", flush=True)
