"""Write a package's archive: the same files always give the same bytes."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

from toolchain.package.manifest import FILE, Manifest
from toolchain.workspace.atomic import atomic_write, os_errors

SUFFIX = ".tar.gz"
SIGNATURE_SUFFIX = ".sig"
TIME = 315_532_800  # 1980-01-01: a time that every tool accepts
MODE = 0o644
LEVEL = 9

Source = Path | bytes


def archive_name(manifest: Manifest) -> str:
    """Return `<name>-<version>.tar.gz`."""
    return manifest.root + SUFFIX


def write_archive(manifest: Manifest, sources: Mapping[str, Source], target: Path) -> None:
    """Write the manifest, then its files sorted by name.

    The archive contains no time, owner, mode or path of this machine.  An existing file is replaced
    only by a complete one.

    Args:
        manifest: The manifest.
        sources: For each path in the manifest, a file or its content.
        target: The archive.

    Raises:
        WorkspaceError: A file cannot be read or written.
    """
    with atomic_write(target) as temporary, temporary.open("wb") as raw:
        packed = gzip.GzipFile("", "wb", LEVEL, raw, mtime=0)
        with packed, tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            _add(tar, f"{manifest.root}/{FILE}", manifest.to_bytes())
            for path in sorted(manifest.by_path()):
                _add(tar, f"{manifest.root}/{path}", sources[path])


def write_folder(
    manifest: Manifest, sources: Mapping[str, Source], folder: Path, *, move: bool = False
) -> None:
    """Write the folder that the archive of these files unpacks to.

    Args:
        manifest: The manifest.
        sources: For each path in the manifest, a file or its content.
        folder: The folder.
        move: Move the files instead of copying them; they are on the same file system.

    Raises:
        OSError: A file cannot be read or written.
    """
    for path, source in {**sources, FILE: manifest.to_bytes()}.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, bytes):
            target.write_bytes(source)
        elif move:
            source.rename(target)
        else:
            shutil.copyfile(source, target)


def _add(tar: tarfile.TarFile, name: str, source: Source) -> None:
    info = tarfile.TarInfo(name)
    info.mtime, info.mode = TIME, MODE
    if isinstance(source, bytes):
        info.size = len(source)
        tar.addfile(info, io.BytesIO(source))
        return
    with os_errors(source, "read"), source.open("rb") as stream:
        info.size = source.stat().st_size
        tar.addfile(info, stream)
