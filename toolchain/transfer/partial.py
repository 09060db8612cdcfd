"""The partial file of a transfer, beside its target, with the origin of its bytes.

`.<name>.partial` contains the bytes received so far, `.<name>.partial.json` the source and the
server's validator for this content (a strong ETag or a modification time).  So another process
can resume, and parts of different versions of a file are never joined.  Using it requires the
target's lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import queue
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from toolchain.catalog.records import Digest, DigestAlgorithm
from toolchain.workspace.atomic import os_errors, write_json
from toolchain.workspace.digests import CHUNK, Digests
from toolchain.workspace.plain_file import check_plain_file

MAX_QUEUED = 8  # chunks of at most CHUNK bytes between the reader and the digest


@dataclass(frozen=True)
class Origin:
    """Where the bytes come from.

    Attributes:
        source: Name of the source.
        validator: Value for If-Range, None if the server sent none.
        total: Size of the whole file in bytes, None if unknown.
    """

    source: str
    validator: str | None = None
    total: int | None = None


def partial_path(target: Path) -> Path:
    """Return the path of the partial file of `target`."""
    return target.with_name(f".{target.name}.partial")


class Partial(contextlib.AbstractContextManager["Partial"]):
    """The partial file of a target, open for appending.

    Its methods raise WorkspaceError if it cannot be written; the bytes written before stay.

    Attributes:
        target: The file that it becomes.
        path: The partial file.
        size: Its size in bytes.
        resumed: Whether bytes were appended to those of an earlier transfer.
        origin: Where its bytes come from, None if unknown.
    """

    def __init__(self, target: Path, algorithms: Iterable[DigestAlgorithm]) -> None:
        self.target = target
        self.path = partial_path(target)
        self.size = 0
        self.resumed = False
        self.origin: Origin | None = None
        self._sidecar = self.path.with_name(f"{self.path.name}.json")
        self._algorithms = tuple(algorithms)
        self._digest: BackgroundDigest | None = None
        self._stream: io.FileIO | None = None

    def __enter__(self) -> Partial:  # noqa: PYI034 - Self needs Python 3.11
        with os_errors(self.target, "write"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists():
                check_plain_file(self.path)
            self._stream = io.FileIO(self.path, "ab")
            self.size = self._stream.seek(0, io.SEEK_END)
        self.origin = _read_origin(self._sidecar)
        return self

    def __exit__(self, *_: object) -> None:
        self._close_digest()
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        if self.size == 0:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)
                self._sidecar.unlink(missing_ok=True)

    def resumable(self, source: str, *, digest_known: bool) -> int:
        """Return the number of bytes from which a transfer can continue; 0 to start over.

        Args:
            source: Name of the source.
            digest_known: Whether the whole file will be verified.  Without this, only a validator
                makes it safe to continue.
        """
        origin = self.origin
        if origin is None or origin.source != source or not (origin.validator or digest_known):
            return 0
        if origin.total is not None and self.size > origin.total:
            return 0
        return self.size

    def resume(self) -> None:
        """Prepare to append to the existing bytes."""
        self.resumed = True
        self._digest_so_far()

    def start_over(self, origin: Origin) -> None:
        """Remove all bytes; those that follow come from `origin`."""
        assert self._stream is not None
        self._close_digest()
        with os_errors(self.target, "write"):
            # In this order, a killed process never leaves bytes with the wrong origin.
            self._stream.truncate(0)
            self.size, self.resumed = 0, False
            write_json(self._sidecar, asdict(origin))
        self.origin = origin

    def append(self, chunk: bytes) -> None:
        """Append `chunk`."""
        assert self._stream is not None
        digest = self._digest_so_far()
        with os_errors(self.target, "write"):
            rest = memoryview(chunk)
            while rest:
                rest = rest[self._stream.write(rest) or 0 :]
        self.size += len(chunk)
        digest.update(chunk)

    def digests(self) -> Digests:
        """Return the digests of all bytes so far."""
        return self._digest_so_far().digests()

    def finish(self, final: Path) -> None:
        """Close the partial file and rename it to `final` in the same folder."""
        assert self._stream is not None
        self._close_digest()
        with os_errors(final, "write"):
            self._stream.close()
            self._stream = None
            # No fsync: the file is verified before each use, so one damaged by a power failure
            # is downloaded again, and large files need not wait for the disk.
            self.path.replace(final)
            self._sidecar.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove all bytes and their origin."""
        assert self._stream is not None
        self._close_digest()
        with os_errors(self.target, "write"):
            self._stream.truncate(0)
            self._sidecar.unlink(missing_ok=True)
        self.size, self.resumed, self.origin = 0, False, None

    def _digest_so_far(self) -> BackgroundDigest:
        if self._digest is None:
            self._digest = BackgroundDigest(self._algorithms)
            with os_errors(self.path, "read"), self.path.open("rb", buffering=0) as stream:
                while chunk := stream.read(CHUNK):
                    self._digest.update(chunk)
        return self._digest

    def _close_digest(self) -> None:
        if self._digest is not None:
            self._digest.close()
            self._digest = None


def _read_origin(sidecar: Path) -> Origin | None:
    try:
        found = json.loads(sidecar.read_text(encoding="utf-8"))
        origin = Origin(found["source"], found["validator"], found["total"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None  # missing or damaged: the bytes are not used
    is_valid = (
        isinstance(origin.source, str)
        and isinstance(origin.validator, str | None)
        and isinstance(origin.total, int | None)
    )
    return origin if is_valid else None


class BackgroundDigest:
    """Digests of a sequence of chunks, computed in a thread so that the reader need not wait.

    At most `MAX_QUEUED` chunks are held in memory.  Call `close` at the end.
    """

    # Queues of this type alone: an interrupt cannot leave them locked, which that of queue.Queue
    # can, so that `close` would never return.

    def __init__(self, algorithms: Iterable[DigestAlgorithm]) -> None:
        self._hashers = {name: hashlib.new(name) for name in algorithms}
        self._chunks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._free: queue.SimpleQueue[None] = queue.SimpleQueue()  # an item for each free place
        self._finished: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(MAX_QUEUED):
            self._free.put(None)
        self._thread = threading.Thread(target=self._work, name="digest", daemon=True)
        self._thread.start()

    def update(self, chunk: bytes) -> None:
        """Append `chunk`; waits while too many are queued."""
        if not chunk:
            return
        self._free.get()
        self._chunks.put(chunk)

    def digests(self) -> Digests:
        """Return the digests of all chunks so far."""
        self._chunks.put(b"")
        self._finished.get()
        return {name: Digest(name, hasher.hexdigest()) for name, hasher in self._hashers.items()}

    def close(self) -> None:
        """End the thread.  May be called more than once."""
        if self._thread.is_alive():
            self._chunks.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (chunk := self._chunks.get()) is not None:
            if not chunk:
                self._finished.put(None)
                continue
            for hasher in self._hashers.values():
                hasher.update(chunk)
            self._free.put(None)
