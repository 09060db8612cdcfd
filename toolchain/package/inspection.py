"""Compare a package of unknown origin, archive or folder, with its manifest, file by file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from toolchain.errors import PackageFormatError
from toolchain.package.manifest import FILE, SIGNATURE, SIZE_LIMIT, Entry, Manifest, parse_manifest
from toolchain.package.reader import open_package
from toolchain.printable import printable
from toolchain.workspace.atomic import os_errors
from toolchain.workspace.digests import CHUNK
from toolchain.workspace.plain_file import open_plain_file
from toolchain.workspace.unpacking import Member

# Folders that git and the Hub's client create; no manifest can list them.
IGNORED = (".git/", ".cache/huggingface/")
LISTED = 50  # differences in a message
EXPECTED = "Name the .tar.gz written by `matting package`, or the folder it was unpacked to."
Sink = Callable[[str], AbstractContextManager[IO[bytes]]]


@dataclass(frozen=True)
class Change:
    """A file that differs from the manifest.

    Attributes:
        name: Path below the package's folder.
        expected: Size or digest in the manifest.
        found: Size or digest of the file.
    """

    name: str
    expected: str
    found: str


@dataclass(frozen=True)
class Findings:
    """Differences between a package and its manifest, each sorted by name.

    Attributes:
        manifest: The manifest.
        missing: Declared files that do not exist.
        extra: Files that are not declared.
        changed: Files of another size or content.
    """

    manifest: Manifest
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    changed: tuple[Change, ...]

    @property
    def intact(self) -> bool:
        """Whether nothing is missing, extra or changed."""
        return not (self.missing or self.extra or self.changed)


def inspect_package(package: Path, sink: Sink | None = None) -> Findings:
    """Read all of `package` and compare it with its manifest.

    Args:
        package: An archive, or the folder of an unpacked package.
        sink: Opens a file for the content of each declared file, by its path; by default nothing is
            written.

    Returns:
        The differences.

    Raises:
        PackageFormatError: The package does not exist, is damaged, or is unsafe to read: a name
            outside of its folder, a link or device, a duplicate, more bytes than declared.
        WorkspaceError: A file cannot be read.
    """
    if package.is_dir():
        return _compare(_read_manifest(package / FILE), _read_folder(package), sink)
    if not package.exists():
        raise PackageFormatError(f"{package}: file not found", hint=EXPECTED)
    if not package.is_file():
        raise PackageFormatError(f"{package}: neither an archive nor a folder", hint=EXPECTED)
    with open_package(package) as (manifest, members):
        return _compare(manifest, members, sink)


def require_intact(package: Path, found: Findings) -> None:
    """Raise an error that lists every difference, if there is one.

    Raises:
        PackageFormatError: A file is missing, extra or changed.
    """
    if found.intact:
        return
    lines = [
        *(f"missing: {printable(name)}" for name in found.missing),
        *(f"extra: {printable(name)}" for name in found.extra),
        *(
            f"changed: {printable(item.name)}: {item.found}, expected {item.expected}"
            for item in found.changed
        ),
    ]
    if len(lines) > LISTED:
        lines[LISTED:] = [f"and {len(lines) - LISTED:,} more"]
    raise PackageFormatError(
        f"{package}: differs from its manifest:\n  " + "\n  ".join(lines),
        kept="Nothing was written.",
        hint="Do not use it; get it again from its publisher.",
    )


def _compare(manifest: Manifest, members: Iterable[Member], sink: Sink | None) -> Findings:
    left = manifest.by_path()
    extra, changed = [], []
    for name, size, pieces in members:
        entry = left.pop(name, None)
        if entry is None:
            extra.append(name)
            continue
        with nullcontext() if sink is None else sink(name) as target:
            changed += _compare_file(entry, size, pieces or (), target)
    changed.sort(key=lambda item: item.name)
    return Findings(manifest, tuple(sorted(left)), tuple(sorted(extra)), tuple(changed))


def _compare_file(
    entry: Entry, size: int, pieces: Iterable[bytes], target: IO[bytes] | None
) -> list[Change]:
    if size != entry.size:
        return [Change(entry.path, f"{entry.size:,} bytes", f"{size:,} bytes")]
    hashers = hashlib.sha256(), hashlib.sha384()
    left = entry.size
    for piece in pieces:
        left -= len(piece)
        if left < 0:  # it grows while it is read
            return [Change(entry.path, f"{entry.size:,} bytes", "more bytes")]
        for hasher in hashers:
            hasher.update(piece)
        if target is not None:
            target.write(piece)
    for hasher, expected in zip(hashers, (entry.sha256, entry.sha384), strict=True):
        if hasher.hexdigest() != expected:
            kind = hasher.name
            return [Change(entry.path, f"{kind} {expected}", f"{kind} {hasher.hexdigest()}")]
    return []


def _read_manifest(path: Path) -> Manifest:
    if not path.is_file() or path.is_symlink():
        raise PackageFormatError(f"{path}: file not found", hint=EXPECTED)
    with os_errors(path, "read"):
        with path.open("rb") as stream:
            data = stream.read(SIZE_LIMIT + 1)
        if len(data) > SIZE_LIMIT:
            raise PackageFormatError(f"{path}: larger than {SIZE_LIMIT:,} bytes")
        return parse_manifest(data, str(path))


def _read_folder(folder: Path) -> Iterator[Member]:
    with os_errors(folder, "read"):
        paths = sorted(folder.rglob("*"))
    for path in paths:
        name = path.relative_to(folder).as_posix()
        if f"{name}/".startswith(IGNORED):
            continue
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise PackageFormatError(
                f"{path}: a link or a device; a package contains plain files",
                kept="Nothing was written.",
                hint="Do not use it; get the package again from its publisher.",
            )
        if path.is_file() and name not in (FILE, SIGNATURE):
            with os_errors(path, "read"):
                size = path.stat().st_size
            yield Member(name, size, _read_pieces(path))


def _read_pieces(path: Path) -> Iterator[bytes]:
    with os_errors(path, "read"), open_plain_file(path) as descriptor:
        while piece := os.read(descriptor, CHUNK):
            yield piece
