"""Writing archives: plain tar, reproducible."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

from tests.support.packages import (
    FILES,
    MANIFEST,
    ROOT,
    read_contents,
    write_folder,
    write_small,
)
from toolchain.package.archive import write_archive
from toolchain.package.manifest import FILE


def test_any_tar_can_unpack_it(tmp_path: Path) -> None:
    """It contains one folder of plain files, without owners, all of the same time."""
    with tarfile.open(write_small(tmp_path / "good.tar.gz")) as tar:
        infos = tar.getmembers()
        tar.extractall(tmp_path, filter="data")
    assert read_contents(tmp_path / ROOT) == {**FILES, FILE: MANIFEST.to_bytes()}
    assert [info.name for info in infos[1:]] == sorted(f"{ROOT}/{name}" for name in FILES)
    metadata = {(i.mtime, i.mode, i.uid, i.gid, i.uname, i.gname) for i in infos}
    assert metadata == {(315_532_800, 0o644, 0, 0, "", "")}


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    """Times and modes of the files, umask and the archive's name make no difference."""
    good = write_small(tmp_path / "good.tar.gz")
    folder = write_folder(tmp_path / "elsewhere")
    for number, path in enumerate(sorted(folder.rglob("*"))):
        if path.is_file():
            path.chmod(0o600 if number % 2 else 0o755)
            os.utime(path, (number * 1e6, number * 1e6))
    before = os.umask(0o077)
    try:
        sources = {name: folder / name for name in reversed(FILES)}
        write_archive(MANIFEST, sources, tmp_path / "other.tar.gz")
    finally:
        os.umask(before)
    assert (tmp_path / "other.tar.gz").read_bytes() == good.read_bytes()
