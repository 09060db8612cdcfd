"""Unpacking of downloaded archives: complete, and never outside of their folder."""

from __future__ import annotations

import os
import stat
import tarfile
import zipfile

import pytest

from tests.support.omz_models import TAR_MODES, create_archive
from toolchain.errors import DownloadError, WorkspaceError
from toolchain.omz import archive as archive_module
from toolchain.omz.archive import unpack

CONTENT = {"a.txt": b"alpha", "deep/er/b.bin": os.urandom(5000), "empty": b""}


def read_files(folder) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("form", ["zip", *TAR_MODES])
def test_every_format_is_unpacked_beside_the_archive(tmp_path, form) -> None:
    """Files and folders, with their content, and nothing else."""
    target = tmp_path / "packed"
    target.write_bytes(create_archive(form, [("./dir/./x", b"dot"), *CONTENT.items()]))
    made = unpack(target, form)
    assert {path.relative_to(tmp_path).as_posix() for path in made} == {"dir/x", *CONTENT}
    found = read_files(tmp_path)
    found.pop("packed")
    assert found == {"dir/x": b"dot", **CONTENT}


def hostile_archives() -> list[tuple[str, list[tuple[str, object]], str]]:
    """Format, members, and a part of the error."""
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    hard = tarfile.TarInfo("hard")
    hard.type, hard.linkname = tarfile.LNKTYPE, "../secret"
    device = tarfile.TarInfo("device")
    device.type = tarfile.CHRTYPE
    pipe = tarfile.TarInfo("pipe")
    pipe.type = tarfile.FIFOTYPE
    zip_link = zipfile.ZipInfo("link")
    zip_link.external_attr = (stat.S_IFLNK | 0o777) << 16
    names = ["../out", "a/../../out", "/out", "C:/out", "a\\..\\out", "packed", "con", "a\nb"]
    return [
        *(("zip", [("fine", b""), (name, b"x")], "the ") for name in names),
        *(("tar", [("fine", b""), (name, b"x")], "the ") for name in names),
        ("tar", [("fine", b""), ("link", link)], "'link' is a link or a device"),
        ("tar", [("hard", hard)], "'hard' is a link or a device"),
        ("tar", [("device", device)], "'device' is a link or a device"),
        ("tar", [("pipe", pipe)], "'pipe' is a link or a device"),
        ("zip", [(zip_link, b"/etc/passwd")], "'link' is a link or a device"),
    ]


@pytest.mark.parametrize(("form", "members", "message"), hostile_archives())
def test_a_hostile_archive_is_refused_as_a_whole(tmp_path, form, members, message) -> None:
    """Names outside of the folder, links, devices: nothing is unpacked, the archive stays."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "packed").write_bytes(create_archive(form, members))
    before = read_files(tmp_path)
    with pytest.raises(DownloadError, match="refused to unpack") as caught:
        unpack(folder / "packed", form)
    assert message in caught.value.message
    assert read_files(tmp_path) == before


def test_a_link_in_the_folder_is_not_followed(tmp_path) -> None:
    """A folder that is a link to another place gets no file of the archive."""
    folder, elsewhere = tmp_path / "model", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "sub").symlink_to(elsewhere, target_is_directory=True)
    (folder / "packed").write_bytes(create_archive("zip", [("sub/x", b"x")]))
    with pytest.raises(DownloadError, match="link that leads out"):
        unpack(folder / "packed", "zip")
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("form", "damage"),
    [
        (form, damage)
        for form in ("zip", *TAR_MODES)
        for damage in ("cut", "garbage", "empty")
        if (form, damage) != ("tar", "empty")  # a valid archive without files
    ],
)
def test_a_damaged_archive_is_one_error(tmp_path, form, damage) -> None:
    """Whatever the library raises becomes a DownloadError, and no file is left."""
    target = tmp_path / "packed"
    target.write_bytes(create_archive(form, [("big", os.urandom(100_000))]))
    data = target.read_bytes()
    target.write_bytes({"cut": data[:50_000], "garbage": b"garbage" * 99, "empty": b""}[damage])
    with pytest.raises(DownloadError, match="not a readable archive"):
        unpack(target, form)
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]


def test_an_archive_bomb_is_refused(tmp_path, monkeypatch) -> None:
    """The number of bytes and of entries is limited."""
    target = tmp_path / "packed"
    target.write_bytes(create_archive("gztar", [("zeros", bytes(3_000_000))]))
    monkeypatch.setattr(archive_module, "BYTES_LIMIT", 1_000_000)
    with pytest.raises(DownloadError, match="decompresses to more than 1,000,000 bytes"):
        unpack(target, "gztar")
    target.write_bytes(create_archive("tar", [(f"f{number}", b"") for number in range(9)]))
    monkeypatch.setattr(archive_module, "ENTRIES_LIMIT", 8)
    with pytest.raises(DownloadError, match="more than 8 entries"):
        unpack(target, "tar")
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]


def test_a_file_that_cannot_be_written_is_a_workspace_error(tmp_path) -> None:
    """A folder has the name of a file in the archive."""
    (tmp_path / "a.txt" / "full").mkdir(parents=True)
    (tmp_path / "packed").write_bytes(create_archive("zip", CONTENT.items()))
    with pytest.raises(WorkspaceError, match="cannot unpack"):
        unpack(tmp_path / "packed", "zip")
