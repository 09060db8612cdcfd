"""An append-only file of JSON entries; if the process is killed, at most the last one is lost."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolchain.workspace.atomic import os_errors

Entry = Mapping[str, Any]


class Journal:
    """Lines of a CRC-32 and JSON.  Only one writer at a time: hold a lock.

    Lines with a wrong checksum are skipped.  An incomplete last line is removed before the next
    entry is written.  Reading does not change the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: Any = None

    def entries(self) -> list[Entry]:
        """Read all entries in order; none if the file does not exist.

        Raises:
            WorkspaceError: The file cannot be read.
        """
        if not self._path.exists():
            return []
        with os_errors(self._path, "read"):
            lines = self._path.read_bytes().splitlines(keepends=True)
        found = (_entry(line) for line in lines)
        return [entry for entry in found if entry is not None]

    def append(self, entry: Entry) -> None:
        """Write one entry and flush it to the operating system.

        Raises:
            WorkspaceError: The file cannot be written.
        """
        with os_errors(self._path, "write"):
            if self._stream is None:
                self._open()
            self._stream.write(_line(entry))
            self._stream.flush()

    def __enter__(self) -> Journal:  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
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
