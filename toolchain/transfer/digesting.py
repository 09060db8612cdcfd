"""Digests computed beside the reading and writing, in a thread of their own."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Iterable
from pathlib import Path

from toolchain.catalog.records import Digest, DigestAlgorithm
from toolchain.workspace.digests import CHUNK

ALWAYS: DigestAlgorithm = "sha384"  # what pins and the cache know files by
WAITING = 8  # pieces of at most CHUNK bytes between the reader and the digest
Digests = dict[DigestAlgorithm, Digest]


def algorithms_for(published: Digest | None) -> tuple[DigestAlgorithm, ...]:
    """sha384, and the published digest's own algorithm where it is another."""
    if published is None or published.algorithm == ALWAYS:
        return (ALWAYS,)
    return (ALWAYS, published.algorithm)


def digests_of(path: Path, algorithms: Iterable[DigestAlgorithm]) -> Digests:
    """All digests of a file in one reading.  Raises OSError if it can't be read."""
    hashers = {name: hashlib.new(name) for name in algorithms}
    buffer = bytearray(CHUNK)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            for hasher in hashers.values():
                hasher.update(view[:count])
    return {name: Digest(name, hasher.hexdigest()) for name, hasher in hashers.items()}


class BackgroundDigest:
    """Takes pieces in order; hashlib lets other threads run, so this costs the reader nothing.

    At most `WAITING` pieces are held, which bounds memory.  Call `close` in the end.
    """

    def __init__(self, algorithms: Iterable[DigestAlgorithm]) -> None:
        self._hashers = {name: hashlib.new(name) for name in algorithms}
        self._pieces: queue.Queue[bytes | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._work, name="digest", daemon=True)
        self._thread.start()

    def update(self, piece: bytes) -> None:
        """Append `piece`; waits while too many are held."""
        self._pieces.put(piece)

    def digests(self) -> Digests:
        """The digests of everything so far."""
        self._pieces.join()
        return {name: Digest(name, hasher.hexdigest()) for name, hasher in self._hashers.items()}

    def close(self) -> None:
        """End the thread.  May be called again."""
        if self._thread.is_alive():
            self._pieces.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (piece := self._pieces.get()) is not None:
            for hasher in self._hashers.values():
                hasher.update(piece)
            self._pieces.task_done()
        self._pieces.task_done()
