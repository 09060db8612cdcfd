"""Read an archive that anybody may have made: every name, kind and size is held to its manifest."""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

from toolchain.catalog.names import fault_of_path
from toolchain.errors import BundleError
from toolchain.package.manifest import FILE, SIZE_LIMIT, Manifest, parsed
from toolchain.workspace.digests import CHUNK

SLACK = 1 << 20  # bytes that small extra files may have in all; they are told by name
HEADERS = 4096  # bytes an entry: its header, its name if that is long, padding
UNREADABLE = (
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,  # among others gzip's own
    ValueError,
    OverflowError,
)
PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)


class OpenedArchive:
    """The archive's members in order.  A context manager; its manifest comes first.

    Everything raises BundleError, having written nothing, for a damaged archive and for a hostile
    one: a name that leads out of the bundle's folder, a link, device or folder, a duplicate, or
    more bytes than the manifest declares.  No more than these are ever decompressed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._closing: list[IO[bytes] | tarfile.TarFile] = []

    def __enter__(self) -> OpenedArchive:  # noqa: PYI034 - Self needs Python 3.11
        try:
            self._open()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._closing:
            self._closing.pop().close()

    def _open(self) -> None:
        try:
            raw = self._path.open("rb")
            self._closing.append(raw)
            self._held = _Held(self._path, gzip.GzipFile(fileobj=raw, mode="rb"))
            self._tar = tarfile.open(  # noqa: SIM115 - closed by __exit__
                fileobj=self._held,  # type: ignore[call-overload]
                mode="r|",
            )
            self._closing.append(self._tar)
            first = self._tar.next()
            if first is None or not first.name.endswith(f"/{FILE}") or first.size > SIZE_LIMIT:
                raise self._refused(f"its first entry is no {FILE}")
            self._require_plain(first)
            stream = self._tar.extractfile(first)
            assert stream is not None
            data = stream.read()
        except UNREADABLE as error:
            raise self._damaged(error) from error
        self.manifest: Manifest = parsed(data, f"{self._path}: {first.name}")
        if first.name != f"{self.manifest.root}/{FILE}":
            raise self._refused(f"its manifest lies at {first.name!r}")
        self._held.allow(self.manifest)

    def members(self) -> Iterator[tuple[str, int, IO[bytes]]]:
        """Path below the bundle's folder, size and content of each, the manifest left out.

        The content is there until the next one is asked for.
        """
        prefix = f"{self.manifest.root}/"
        declared = {entry.path: entry.size for entry in self.manifest.files}
        seen = {FILE}
        room = SLACK
        while (info := self._next()) is not None:
            if fault := fault_of_path(info.name):
                raise self._refused(f"the name {info.name!r} {fault}")
            name = info.name.removeprefix(prefix)
            if name == info.name:
                raise self._refused(f"the name {info.name!r} leads out of {prefix}")
            self._require_plain(info)
            if name.casefold() in seen:
                raise self._refused(f"{name!r} is there twice")
            seen.add(name.casefold())
            room -= max(0, info.size - declared.get(name, 0))
            if room < 0:
                raise self._refused(
                    f"{name!r} has {info.size:,} bytes, the manifest declares "
                    f"{declared.get(name, 0):,}"
                )
            stream = self._tar.extractfile(info)
            assert stream is not None
            yield name, info.size, stream
        self._require_end()

    def pieces(self, stream: IO[bytes]) -> Iterator[bytes]:
        """The content of a member, piece by piece."""
        while True:
            try:
                piece = stream.read(CHUNK)
            except UNREADABLE as error:
                raise self._damaged(error) from error
            if not piece:
                return
            yield piece

    def _next(self) -> tarfile.TarInfo | None:
        try:
            found: tarfile.TarInfo | None = self._tar.next()
        except UNREADABLE as error:
            raise self._damaged(error) from error
        return found

    def _require_plain(self, info: tarfile.TarInfo) -> None:
        if info.type not in PLAIN or info.sparse is not None or info.size < 0:
            raise self._refused(f"{info.name!r} is no plain file")

    def _require_end(self) -> None:
        """Nothing but zeros may follow, and gzip's own checksum must hold."""
        try:
            while piece := self._held.rest():
                if piece.strip(b"\0"):
                    raise self._refused("it goes on after its end, or an entry's header is damaged")
        except UNREADABLE as error:
            raise self._damaged(error) from error

    def _refused(self, why: str) -> BundleError:
        return refused(self._path, why)

    def _damaged(self, error: Exception) -> BundleError:
        return BundleError(
            f"{self._path}: damaged or no .tar.gz: {error}",
            kept="Nothing was written.",
            hint="Fetch it again from whoever made it.",
        )


class _Held:
    """Decompressed bytes, of which no more may come than were declared."""

    def __init__(self, path: Path, stream: gzip.GzipFile) -> None:
        self._path, self._stream = path, stream
        self._left = SIZE_LIMIT + HEADERS * 16

    def allow(self, manifest: Manifest) -> None:
        """What the manifest declares may come as well."""
        self._left += manifest.size + HEADERS * (len(manifest.files) + 1) + 2 * SLACK

    def read(self, size: int) -> bytes:
        data = self._stream.read(min(size, CHUNK))
        self._left -= len(data)
        if self._left < 0:
            raise refused(self._path, "it unpacks to more bytes than its manifest declares")
        return data

    def rest(self) -> bytes:
        """What tarfile has not asked for."""
        return self.read(CHUNK)


def refused(path: Path, why: str) -> BundleError:
    """The error for a bundle that nobody should unpack."""
    return BundleError(
        f"{path}: refused: {why}",
        kept="Nothing was written.",
        hint="Do not use this bundle; tell whoever published it.",
    )
