"""The part of a file that is here so far, beside its target, and what it was taken from.

`.<name>.partial` holds the bytes, `.<name>.partial.json` the source and the server's word for
this very content (a strong ETag or a modification time), so that another process can go on and a
file that changed meanwhile is never spliced.  Whoever uses it holds the target's lock.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from toolchain.catalog.records import DigestAlgorithm
from toolchain.transfer.digesting import BackgroundDigest, Digests
from toolchain.workspace.atomic import os_errors, write_json
from toolchain.workspace.digests import CHUNK


@dataclass(frozen=True)
class Origin:
    """What the bytes were taken from.

    `validator`: fit for If-Range, None if the server gave none.  `total`: bytes of the whole
    file, None if it did not say.
    """

    source: str
    validator: str | None = None
    total: int | None = None


def partial_path(target: Path) -> Path:
    """Where the part of `target` that is here so far lies."""
    return target.with_name(f".{target.name}.partial")


class Partial(contextlib.AbstractContextManager["Partial"]):
    """The partial file of `target`, open for appending.

    `size`: bytes so far.  `resumed`: whether any byte in it was appended to an earlier part.
    Its methods raise WorkspaceError for a full disk and the like; what was written stays.
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
            self._stream = io.FileIO(self.path, "ab")
            self.size = self._stream.seek(0, io.SEEK_END)
        self.origin = _read_origin(self._sidecar)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._forget_digest()
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        if self.size == 0:
            with contextlib.suppress(OSError):
                self._remove()

    def resumable(self, source: str, *, digest_known: bool) -> int:
        """How many bytes of `source` are here and may be gone on from; 0 to begin afresh.

        Without the server's word for the content, only a known digest makes it safe to go on.
        """
        here = self.origin
        if here is None or here.source != source or not (here.validator or digest_known):
            return 0
        if here.total is not None and self.size > here.total:
            return 0
        return self.size

    def go_on(self) -> None:
        """Before appending to what is here: have its digest at hand."""
        self.resumed = True
        self._digest_so_far()

    def start_over(self, origin: Origin) -> None:
        """Drop what is here; from now on it is taken from `origin`."""
        assert self._stream is not None
        self._forget_digest()
        with os_errors(self.target, "write"):
            # In this order a kill never leaves bytes of one origin under the name of another.
            self._stream.truncate(0)
            self.size, self.resumed = 0, False
            write_json(self._sidecar, asdict(origin))
        self.origin = origin

    def append(self, piece: bytes) -> None:
        """Write `piece` to the end."""
        assert self._stream is not None
        digest = self._digest_so_far()
        with os_errors(self.target, "write"):
            rest = memoryview(piece)
            while rest:
                rest = rest[self._stream.write(rest) or 0 :]
        self.size += len(piece)
        digest.update(piece)

    def digests(self) -> Digests:
        """The digests of all bytes so far."""
        return self._digest_so_far().digests()

    def finish(self, final: Path) -> None:
        """Rename to `final`, in the same folder.  The partial is closed and gone afterwards."""
        assert self._stream is not None
        self._forget_digest()
        with os_errors(final, "write"):
            self._stream.close()
            self._stream = None
            # No fsync: whoever uses the file verifies it first, so one torn by a power failure
            # is fetched again, and a large file needs not wait for the disk.
            self.path.replace(final)
            self._sidecar.unlink(missing_ok=True)

    def discard(self) -> None:
        """Drop what is here for good."""
        assert self._stream is not None
        self._forget_digest()
        with os_errors(self.target, "write"):
            self._stream.truncate(0)
            self._sidecar.unlink(missing_ok=True)
        self.size, self.resumed, self.origin = 0, False, None

    def _digest_so_far(self) -> BackgroundDigest:
        if self._digest is None:
            self._digest = BackgroundDigest(self._algorithms)
            with os_errors(self.path, "read"), self.path.open("rb", buffering=0) as stream:
                while piece := stream.read(CHUNK):
                    self._digest.update(piece)
        return self._digest

    def _forget_digest(self) -> None:
        if self._digest is not None:
            self._digest.close()
            self._digest = None

    def _remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._sidecar.unlink(missing_ok=True)


def _read_origin(sidecar: Path) -> Origin | None:
    try:
        found = json.loads(sidecar.read_text(encoding="utf-8"))
        origin = Origin(found["source"], found["validator"], found["total"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # damaged or none: the part is not used
    sound = (
        isinstance(origin.source, str)
        and isinstance(origin.validator, str | None)
        and isinstance(origin.total, int | None)
    )
    return origin if sound else None
