"""Unpack an archive below its own folder: plain files and folders, nothing else, all or nothing."""

from __future__ import annotations

import contextlib
import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from toolchain.catalog.names import fault_of_path
from toolchain.errors import DownloadError
from toolchain.workspace.atomic import TEMPORARY_SUFFIX, os_errors
from toolchain.workspace.digests import CHUNK

ENTRIES_LIMIT = 100_000
BYTES_LIMIT = 32 << 30
_TAR_MODES = {"tar": "r:", "gztar": "r:gz", "bztar": "r:bz2", "xztar": "r:xz"}
_UNREADABLE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,  # among others gzip's own
    ValueError,
    RuntimeError,  # an encrypted zip; a compression that is not known
)


@dataclass(frozen=True)
class _Entry:
    """`stream`: the content, None for a folder."""

    name: str
    stream: IO[bytes] | None


def unpack(archive: Path, form: str) -> tuple[Path, ...]:
    """Unpack `archive` of `form` ("zip", "tar", "gztar", "bztar", "xztar") into its folder.

    Returns the files, in the archive's order; those of an earlier run are replaced, each as a
    whole.  Raises DownloadError, having changed nothing, for an archive that is damaged, too
    large, or holds a link, a device or a name that leads out of the folder; WorkspaceError for a
    full disk and the like.
    """
    folder = archive.parent
    with os_errors(archive, "unpack"):
        staging = Path(
            tempfile.mkdtemp(prefix=f".{archive.name}.", suffix=TEMPORARY_SUFFIX, dir=folder)
        )
    try:
        names = _stage(archive, form, staging)
        for name in names:
            _check_place(archive, folder / name)
        with os_errors(archive, "unpack"):
            for name in names:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (staging / name).replace(folder / name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return tuple(folder / name for name in names)


def _stage(archive: Path, form: str, staging: Path) -> tuple[str, ...]:
    names: dict[str, None] = {}
    room = BYTES_LIMIT
    with _entries(archive, form) as entries:
        for count, entry in enumerate(_guarded(archive, form, entries)):
            if count >= ENTRIES_LIMIT:
                raise _refused(archive, f"it has more than {ENTRIES_LIMIT:,} entries")
            name = _safe(archive, entry.name)
            if entry.stream is None or not name:
                continue
            names[name] = None
            target = staging / name
            with os_errors(archive, "unpack"):
                target.parent.mkdir(parents=True, exist_ok=True)
            with os_errors(archive, "unpack"), target.open("wb") as output:
                while piece := _read(archive, form, entry.stream):
                    room -= len(piece)
                    if room < 0:
                        raise _refused(archive, f"it unpacks to more than {BYTES_LIMIT:,} bytes")
                    output.write(piece)
    return tuple(names)


@contextlib.contextmanager
def _entries(archive: Path, form: str) -> Iterator[Iterator[_Entry]]:
    opened: zipfile.ZipFile | tarfile.TarFile
    try:
        if form == "zip":
            opened = zipfile.ZipFile(archive)
        else:
            opened = tarfile.TarFile.open(archive, _TAR_MODES[form])  # type: ignore[call-overload]
    except _UNREADABLE as error:
        raise _damaged(archive, form, error) from error
    entries = (
        _zip_entries(archive, opened)
        if isinstance(opened, zipfile.ZipFile)
        else _tar_entries(archive, opened)
    )
    with opened, contextlib.closing(entries):
        yield entries


def _guarded(archive: Path, form: str, entries: Iterator[_Entry]) -> Iterator[_Entry]:
    while True:
        try:
            entry = next(entries)
        except StopIteration:
            return
        except _UNREADABLE as error:
            raise _damaged(archive, form, error) from error
        yield entry


def _zip_entries(archive: Path, opened: zipfile.ZipFile) -> Generator[_Entry, None, None]:
    for info in opened.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refused(archive, f"{info.filename!r} is a link or a device")
        if info.is_dir():
            yield _Entry(info.filename, None)
            continue
        with opened.open(info) as stream:
            yield _Entry(info.filename, stream)


def _tar_entries(archive: Path, opened: tarfile.TarFile) -> Generator[_Entry, None, None]:
    for info in opened:
        if not (info.isreg() or info.isdir()):
            raise _refused(archive, f"{info.name!r} is a link or a device")
        yield _Entry(info.name, opened.extractfile(info) if info.isreg() else None)


def _safe(archive: Path, name: str) -> str:
    """The name without "." parts; "" for the folder itself."""
    if name.startswith("/"):
        raise _refused(archive, f"the name {name!r} is absolute")
    plain = "/".join(part for part in name.split("/") if part not in ("", "."))
    fault = fault_of_path(plain) if plain else ""
    if fault:
        raise _refused(archive, f"the name {name!r} {fault}")
    if plain.casefold() == archive.name.casefold():
        raise _refused(archive, f"the entry {name!r} would replace the archive itself")
    return plain


def _check_place(archive: Path, target: Path) -> None:
    """A link that lies in the folder already must not lead an entry out of it."""
    if not target.parent.resolve().is_relative_to(archive.parent.resolve()):
        raise _refused(archive, f"{target.parent} is a link that leads out of the folder")


def _read(archive: Path, form: str, stream: IO[bytes]) -> bytes:
    try:
        return stream.read(CHUNK)
    except _UNREADABLE as error:
        raise _damaged(archive, form, error) from error


def _refused(archive: Path, why: str) -> DownloadError:
    return DownloadError(
        f"{archive}: refused to unpack: {why}",
        kept="Nothing was unpacked.",
        hint="Do not use this archive; tell whoever published it.",
    )


def _damaged(archive: Path, form: str, error: Exception) -> DownloadError:
    return DownloadError(
        f"{archive}: not a readable archive of format {form}: {error}",
        kept="Nothing was unpacked.",
        hint="Remove it, and run the same command again to fetch it anew.",
    )
