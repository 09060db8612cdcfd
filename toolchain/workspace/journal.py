"""A file that only grows, entry by entry; a kill at any moment costs at most the last one."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from toolchain.workspace.atomic import os_errors

Entry = Mapping[str, Any]


class Journal:
    """Lines of a checksum and JSON.  One writer at a time: hold a lock.

    Lines that do not keep their checksum are passed over; a torn end is cut off before more is
    written.  Reading alone touches nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: Any = None

    def entries(self) -> list[Entry]:
        """What was written, in order; none if there is no such file.  Raises WorkspaceError."""
        if not self._path.exists():
            return []
        with os_errors(self._path, "read"):
            lines = self._path.read_bytes().splitlines(keepends=True)
        found = (_entry(line) for line in lines)
        return [entry for entry in found if entry is not None]

    def append(self, entry: Entry) -> None:
        """Write one entry and hand it to the operating system.  Raises WorkspaceError."""
        with os_errors(self._path, "write"):
            if self._stream is None:
                self._open()
            self._stream.write(_line(entry))
            self._stream.flush()

    def __enter__(self) -> Journal:  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._stream is not None:
            with os_errors(self._path, "write"):
                self._stream.close()
            self._stream = None

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        data = self._path.read_bytes() if self._path.exists() else b""
        self._stream = self._path.open("ab")
        self._stream.truncate(data.rfind(b"\n") + 1)


def _line(entry: Entry) -> bytes:
    data = json.dumps(entry, ensure_ascii=True, allow_nan=False).encode()
    return b"%08x %s\n" % (zlib.crc32(data), data)


def _entry(line: bytes) -> Entry | None:
    check, _, data = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or check != b"%08x" % zlib.crc32(data):
        return None
    entry = json.loads(data)
    return entry if isinstance(entry, dict) else None
