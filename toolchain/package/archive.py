"""A bundle's archive: the same bytes for the same files, whoever packs them, when and where."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from toolchain.package.manifest import FILE, Manifest
from toolchain.workspace.atomic import os_errors, writing

SUFFIX = ".tar.gz"
SIGNATURE_SUFFIX = ".sig"
WHEN = 315_532_800  # 1980-01-01: a time that no tool takes for an error
MODE = 0o644
LEVEL = 9

Source = Path | bytes


def archive_name(manifest: Manifest) -> str:
    """`<name>-<version>.tar.gz`."""
    return manifest.root + SUFFIX


def write_archive(manifest: Manifest, sources: Mapping[str, Source], target: Path) -> None:
    """Write `target`: the manifest, then each of its files from `sources`, in the order of names.

    No time, owner, mode or path of this machine gets in.  Raises WorkspaceError if it can't be
    read or written; a file that was there stays until the new one is whole.
    """
    with writing(target) as temporary, temporary.open("wb") as raw:
        packed = gzip.GzipFile("", "wb", LEVEL, raw, mtime=0)
        with packed, tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            _add(tar, f"{manifest.root}/{FILE}", manifest.dumped())
            for path in sorted(manifest.by_path()):
                _add(tar, f"{manifest.root}/{path}", sources[path])


def _add(tar: tarfile.TarFile, name: str, source: Source) -> None:
    info = tarfile.TarInfo(name)
    info.mtime, info.mode = WHEN, MODE
    if isinstance(source, bytes):
        info.size = len(source)
        tar.addfile(info, io.BytesIO(source))
        return
    with os_errors(source, "read"), source.open("rb") as stream:
        info.size = source.stat().st_size
        tar.addfile(info, stream)
