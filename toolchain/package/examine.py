"""Hold a bundle against its manifest, archive or folder, file by file, without trusting it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from toolchain.errors import BundleError
from toolchain.package.hostile import OpenedArchive
from toolchain.package.manifest import FILE, SIGNATURE, SIZE_LIMIT, Entry, Manifest, parsed
from toolchain.workspace.atomic import os_errors
from toolchain.workspace.digests import CHUNK

# What git and the Hub's own client put into a folder, of which no manifest can know.
FOREIGN = (".git/", ".cache/huggingface/")
Sink = Callable[[str], AbstractContextManager[IO[bytes]]]


@dataclass(frozen=True)
class Change:
    """A file that is not the declared one: what was `expected` and what was `found`."""

    name: str
    expected: str
    found: str


@dataclass(frozen=True)
class Findings:
    """What differs from the manifest, each in the order of names."""

    manifest: Manifest
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    changed: tuple[Change, ...]

    @property
    def whole(self) -> bool:
        """Whether everything is there, unchanged, and nothing else."""
        return not (self.missing or self.extra or self.changed)


def examine(bundle: Path, sink: Sink | None = None) -> Findings:
    """Read all of `bundle`, an archive or a folder, and compare it with its manifest.

    `sink`: opens a place for each declared file's bytes, for an archive alone; else nothing is
    written.  Raises BundleError for what can't be trusted to be read: damage, a name that leads out
    of its folder, a link or device, a duplicate, more bytes than declared; WorkspaceError if it
    can't be read at all.
    """
    if bundle.is_dir():
        return _folder(bundle)
    if not bundle.is_file():
        raise BundleError(
            f"{bundle}: is neither an archive nor a folder",
            hint="Name the .tar.gz that `matting package` made, or the folder it was unpacked to.",
        )
    return _archive(bundle, sink)


def require_whole(bundle: Path, found: Findings) -> None:
    """Raise BundleError, with the name of every file that is at fault, unless all is well."""
    if found.whole:
        return
    lines = [
        *(f"missing: {name}" for name in found.missing),
        *(f"extra: {name}" for name in found.extra),
        *(
            f"changed: {item.name}: {item.found}, expected {item.expected}"
            for item in found.changed
        ),
    ]
    raise BundleError(
        f"{bundle}: is not what its manifest says:\n  " + "\n  ".join(lines),
        kept="Nothing was written.",
        hint="Do not use it; fetch it again from whoever made it.",
    )


def _archive(path: Path, sink: Sink | None) -> Findings:
    with OpenedArchive(path) as archive:
        declared = archive.manifest.by_path()
        extra, changed = [], []
        left = dict(declared)
        for name, size, stream in archive.members():
            entry = left.pop(name, None)
            if entry is None:
                extra.append(name)
                continue
            place = nullcontext() if sink is None else sink(name)
            with place as target:
                changed += _compared(entry, size, archive.pieces(stream), target)
        return Findings(
            archive.manifest, tuple(sorted(left)), tuple(sorted(extra)), _sorted(changed)
        )


def _folder(folder: Path) -> Findings:
    path = folder / FILE
    if not path.is_file() or path.is_symlink():
        raise BundleError(
            f"{path}: is not there, so nothing says what the folder should hold",
            hint="Name the .tar.gz that `matting package` made, or the folder it was unpacked to.",
        )
    with os_errors(path, "read"):
        if path.stat().st_size > SIZE_LIMIT:
            raise BundleError(f"{path}: is larger than {SIZE_LIMIT:,} bytes")
        manifest = parsed(path.read_bytes(), str(path))
        found = _plain_files(folder)
    left = manifest.by_path()
    extra, changed = [], []
    for name in sorted(found.difference((FILE, SIGNATURE))):
        entry = left.pop(name, None)
        if entry is None:
            extra.append(name)
            continue
        with os_errors(folder / name, "read"), (folder / name).open("rb") as stream:
            size = (folder / name).stat().st_size
            changed += _compared(entry, size, iter(lambda: stream.read(CHUNK), b""), None)
    return Findings(manifest, tuple(sorted(left)), tuple(extra), _sorted(changed))


def _plain_files(folder: Path) -> set[str]:
    names = set()
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if f"{name}/".startswith(FOREIGN):
            continue
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise BundleError(
                f"{path}: is a link or a device; a bundle holds plain files",
                kept="Nothing was written.",
                hint="Do not use it; fetch the bundle again from whoever made it.",
            )
        if path.is_file():
            names.add(name)
    return names


def _compared(
    entry: Entry, size: int, pieces: Iterable[bytes], target: IO[bytes] | None
) -> list[Change]:
    if size != entry.size:
        return [Change(entry.path, f"{entry.size:,} bytes", f"{size:,} bytes")]
    sums = hashlib.sha256(), hashlib.sha384()
    for piece in pieces:
        for hasher in sums:
            hasher.update(piece)
        if target is not None:
            target.write(piece)
    for hasher, expected in zip(sums, (entry.sha256, entry.sha384), strict=True):
        if hasher.hexdigest() != expected:
            kind = hasher.name
            return [Change(entry.path, f"{kind} {expected}", f"{kind} {hasher.hexdigest()}")]
    return []


def _sorted(changes: list[Change]) -> tuple[Change, ...]:
    return tuple(sorted(changes, key=lambda item: item.name))
