"""Unpack archives of untrusted origin: each member's name, kind and size is checked."""

from __future__ import annotations

import bz2
import contextlib
import glob
import gzip
import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import filelock

from toolchain.catalog.names import find_path_fault
from toolchain.errors import ToolchainError
from toolchain.printable import printable
from toolchain.workspace.atomic import TEMPORARY_SUFFIX, os_errors
from toolchain.workspace.digests import CHUNK

CAUSE_LENGTH = 200  # characters of a library's message
_LOCK = "lock"
_DECOMPRESSORS: Mapping[str, Callable[[IO[bytes]], Any]] = {
    "tar": lambda raw: raw,
    "gztar": gzip.open,
    "bztar": bz2.open,
    "xztar": lzma.open,
}
_UNREADABLE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,  # among others gzip's own
    ValueError,
    OverflowError,
    RuntimeError,  # an encrypted zip, or an unknown compression
)


class Member(NamedTuple):
    """A file or folder in an archive.

    Attributes:
        name: Path as stored in the archive.
        size: Size in bytes, as stored in the archive.
        pieces: Content, at most `CHUNK` bytes at a time; None for a folder.  Read it before the
            next member is requested.
    """

    name: str
    size: int
    pieces: Iterator[bytes] | None


class UntrustedArchive:
    """Reader for an archive of unknown origin; a context manager.

    Raises `error` for an archive that is damaged, contains a link or a device, or decompresses to
    more than `limit` bytes.

    Args:
        path: File of the archive.
        form: "zip", "tar", "gztar", "bztar" or "xztar".
        error: Type of the errors to raise.
        limit: Largest number of bytes to decompress; for a tar, its headers included.
    """

    def __init__(self, path: Path, form: str, error: type[ToolchainError], limit: int) -> None:
        self._path, self._form, self._error, self._limit = path, form, error, limit
        self._count = 0
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> UntrustedArchive:  # noqa: PYI034 - Self needs Python 3.11
        with contextlib.ExitStack() as stack:
            with os_errors(self._path, "read"):
                raw = stack.enter_context(self._path.open("rb"))
            with self._reading():
                if self._form == "zip":
                    self._zip = stack.enter_context(zipfile.ZipFile(raw))
                else:
                    self._data = stack.enter_context(_DECOMPRESSORS[self._form](raw))
                    opened = tarfile.open(fileobj=self, mode="r|")  # type: ignore[call-overload]
                    self._tar: tarfile.TarFile = stack.enter_context(opened)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def raise_limit(self, size: int) -> None:
        """Permit `size` more bytes."""
        self._limit += size

    def members(self) -> Iterator[Member]:
        """Yield each member in the order of the archive; links and devices raise the error."""
        members = self._zip_members() if self._form == "zip" else self._tar_members()
        while True:
            with self._reading():
                member = next(members, None)
            if member is None:
                return
            yield member

    def check_name(self, name: str) -> None:
        """Raise the error unless `name` is a safe relative path on every system."""
        if fault := find_path_fault(name):
            raise self.refuse(f"the name {printable(name)!r} {fault}")

    def check_end(self) -> None:
        """Raise the error if a tar continues after its end, or its compressed data is damaged.

        Call it after the last member.
        """
        with self._reading():
            while piece := self.read():
                if piece.strip(b"\0"):
                    raise self.refuse("data follows its end, or the header of an entry is damaged")

    def refuse(self, reason: str) -> ToolchainError:
        """Build the error for an unsafe archive."""
        return self._error(
            f"{self._path}: refused to unpack: {reason}",
            kept="Nothing was written.",
            hint="Do not use this archive; report it to its publisher.",
        )

    def read(self, size: int = CHUNK) -> bytes:
        """Read decompressed bytes of a tar; for `tarfile`."""
        return self._counted(self._data.read(min(size, CHUNK)))

    def _counted(self, piece: bytes) -> bytes:
        self._count += len(piece)
        if self._count > self._limit:
            raise self.refuse(f"it decompresses to more than {self._limit:,} bytes")
        return piece

    def _pieces(self, stream: IO[bytes] | None, *, counted: bool) -> Iterator[bytes]:
        assert stream is not None
        while True:
            with self._reading():
                piece = stream.read(CHUNK)
            if not piece:
                return
            yield self._counted(piece) if counted else piece

    def _zip_members(self) -> Iterator[Member]:
        for info in self._zip.infolist():
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise self._not_plain(info.filename)
            if info.is_dir():
                yield Member(info.filename, 0, None)
                continue
            with self._zip.open(info) as stream:
                yield Member(info.filename, info.file_size, self._pieces(stream, counted=True))

    def _tar_members(self) -> Iterator[Member]:
        for info in self._tar:
            if not (info.isreg() or info.isdir()) or info.size < 0:
                raise self._not_plain(info.name)
            if info.isdir():
                yield Member(info.name, 0, None)
                continue
            # All bytes are counted where the tar is read, except the zeros of a sparse file.
            pieces = self._pieces(self._tar.extractfile(info), counted=info.sparse is not None)
            yield Member(info.name, info.size, pieces)

    def _not_plain(self, name: str) -> ToolchainError:
        return self.refuse(f"{printable(name)!r} is a link or a device, not a plain file")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except _UNREADABLE as error:
            raise self._error(
                f"{self._path}: damaged or not a readable archive ({self._form}): "
                f"{printable(str(error), CAUSE_LENGTH)}",
                kept="Nothing was written.",
                hint="Remove it and download it again.",
            ) from error


@contextlib.contextmanager
def staging_folder(target: Path) -> Iterator[Path]:
    """Give an empty folder beside `target` to prepare files in; it is removed at the end.

    It is on the same file system, so the files can be renamed into place.  Folders that killed
    processes left for the same target are removed first.

    Raises:
        WorkspaceError: The folder cannot be created.
    """
    with os_errors(target, "write"):
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep_staging(target)
        folder, in_use = _create_staging(target)
    try:
        yield folder / "files"
    finally:
        in_use.release()
        shutil.rmtree(folder, ignore_errors=True)


def _create_staging(target: Path) -> tuple[Path, filelock.BaseFileLock]:
    prefix, suffix = f".{target.name}.", TEMPORARY_SUFFIX
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=target.parent))
        in_use = filelock.FileLock(folder / _LOCK)
        try:
            in_use.acquire()
            (folder / "files").mkdir()
        except FileNotFoundError:  # another process swept it before it was locked
            in_use.release()
            continue
        return folder, in_use


def _sweep_staging(target: Path) -> None:
    for folder in target.parent.glob(f".{glob.escape(target.name)}.*{TEMPORARY_SUFFIX}"):
        if folder.is_symlink() or not folder.is_dir():
            continue
        with contextlib.suppress(OSError), filelock.FileLock(folder / _LOCK, timeout=0):
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def create_below(folder: Path, name: str) -> Iterator[IO[bytes]]:
    """Create the file `name` below `folder`, and the folders between.

    Raises:
        OSError: The file exists or cannot be written.
    """
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as stream:
        yield stream
