"""Reading of untrusted archives; see also tests/package/test_reader.py and tests/omz."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from toolchain.errors import DownloadError, WorkspaceError
from toolchain.workspace.unpacking import UntrustedArchive, create_below, staging_folder

MODES = {"tar": "w", "gztar": "w:gz", "bztar": "w:bz2", "xztar": "w:xz"}


def write_archive(path: Path, form: str, files: dict[str, bytes]) -> Path:
    if form == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, data in files.items():
                packed.writestr(name, data)
        return path
    with tarfile.open(path, MODES[form]) as packed:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("form", ["zip", *MODES])
def test_members_have_name_size_and_content(form: str, tmp_path: Path) -> None:
    """In the order of the archive, for every format."""
    files = {"b": b"one", "a/c": bytes(3 << 20), "empty": b""}
    with UntrustedArchive(
        write_archive(tmp_path / "x", form, files), form, DownloadError, 4 << 20
    ) as archive:
        found = [(m.name, m.size, b"".join(m.pieces or ())) for m in archive.members()]
    assert found == [(name, len(data), data) for name, data in files.items()]


@pytest.mark.parametrize("form", ["zip", *MODES])
def test_the_limit_ends_decompression(form: str, tmp_path: Path) -> None:
    """It counts the bytes of all members; `raise_limit` permits more."""
    path = write_archive(tmp_path / "x", form, {"a": bytes(2 << 20), "b": bytes(2 << 20)})
    for more in (0, 3 << 20):
        with UntrustedArchive(path, form, DownloadError, 3 << 20) as archive:
            archive.raise_limit(more)
            if more:
                assert sum(len(p) for m in archive.members() for p in m.pieces or ()) == 4 << 20
                continue
            with pytest.raises(DownloadError, match="decompresses to more than 3,145,728 bytes"):
                [list(member.pieces or ()) for member in archive.members()]


def test_a_sparse_file_counts_with_its_zeros(tmp_path: Path) -> None:
    """A small archive cannot write a large file of zeros."""
    info = tarfile.TarInfo("zeros")
    info.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.size": str(1 << 40),
        "GNU.sparse.map": f"0,0,{1 << 40},0",
    }
    with tarfile.open(tmp_path / "x", "w", format=tarfile.PAX_FORMAT) as packed:
        packed.addfile(info)
    with UntrustedArchive(tmp_path / "x", "tar", DownloadError, 4 << 20) as archive:
        (member,) = (next(archive.members()),)
        assert member.size == 1 << 40
        with pytest.raises(DownloadError, match="decompresses to more than"):
            list(member.pieces or ())


def test_large_headers_count(tmp_path: Path) -> None:
    """A header of 100 MB is not read into memory."""
    info = tarfile.TarInfo("long")
    info.pax_headers = {"comment": "0" * (100 << 20)}
    with tarfile.open(tmp_path / "x", "w:gz", format=tarfile.PAX_FORMAT) as packed:
        packed.addfile(info)
    with (
        pytest.raises(DownloadError, match="decompresses to more than"),
        UntrustedArchive(tmp_path / "x", "gztar", DownloadError, 4 << 20) as archive,
    ):
        list(archive.members())


def test_an_archive_that_does_not_exist_is_an_error_of_the_workspace(tmp_path: Path) -> None:
    """The message names the file."""
    with (
        pytest.raises(WorkspaceError, match="nowhere: cannot read"),
        UntrustedArchive(tmp_path / "nowhere", "zip", DownloadError, 1),
    ):
        pass


def test_a_staging_folder_is_removed(tmp_path: Path) -> None:
    """It is beside the target; a file in it is created once."""
    target = tmp_path / "new" / "target"
    with staging_folder(target) as folder:
        assert folder.parent.parent == target.parent
        with create_below(folder, "a/b") as output:
            output.write(b"x")
        with pytest.raises(FileExistsError), create_below(folder, "a/b"):
            pass
    assert list(target.parent.iterdir()) == []
