"""What is done to files after the download: text replaced, archives unpacked, safely."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
import zipfile

import pytest

from toolchain.catalog.records import Digest, ModelFile, RegexReplace, UnpackArchive
from toolchain.errors import DownloadError, WorkspaceError
from toolchain.omz import archive as archive_module
from toolchain.omz.archive import unpack
from toolchain.omz.postprocess import PostprocessRequest, holds, postprocess, restore

CONTENT = {"a.txt": b"alpha", "deep/er/b.bin": os.urandom(5000), "empty": b""}
TAR_FORMS = {"tar": "w", "gztar": "w:gz", "bztar": "w:bz2", "xztar": "w:xz"}


def pack(path, form, members) -> None:
    """Write an archive; a member is a name and bytes, or a finished entry."""
    if form == "zip":
        with zipfile.ZipFile(path, "w") as packed:
            for name, data in members:
                packed.writestr(name, data)
        return
    with tarfile.open(path, TAR_FORMS[form]) as packed:
        for name, data in members:
            if isinstance(data, tarfile.TarInfo):
                packed.addfile(data)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))


def published(path) -> ModelFile:
    data = path.read_bytes()
    return ModelFile(path.name, len(data), Digest("sha384", hashlib.sha384(data).hexdigest()), ())


def everything(folder) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("form", ["zip", *TAR_FORMS])
def test_every_format_is_unpacked_beside_the_archive(tmp_path, form) -> None:
    """Files and folders, with their content, and nothing else."""
    target = tmp_path / "packed"
    pack(target, form, [("./dir/../dir/x".replace("../dir/", ""), b"dot"), *CONTENT.items()])
    made = unpack(target, form)
    assert {path.relative_to(tmp_path).as_posix() for path in made} == {"dir/x", *CONTENT}
    found = everything(tmp_path)
    found.pop("packed")
    assert found == {"dir/x": b"dot", **CONTENT}


def hostile() -> list[tuple[str, list[tuple[str, object]], str]]:
    """Form, members, and a part of the refusal."""
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


@pytest.mark.parametrize(("form", "members", "said"), hostile())
def test_a_hostile_archive_is_refused_as_a_whole(tmp_path, form, members, said) -> None:
    """Names that lead out, links, devices: nothing is unpacked, the archive stays."""
    folder = tmp_path / "model"
    folder.mkdir()
    pack(folder / "packed", form, members)
    before = everything(tmp_path)
    with pytest.raises(DownloadError, match="refused to unpack") as caught:
        unpack(folder / "packed", form)
    assert said in caught.value.message
    assert everything(tmp_path) == before


def test_a_link_in_the_folder_does_not_lead_out(tmp_path) -> None:
    """A folder that is a link to elsewhere gets no file of the archive."""
    folder, elsewhere = tmp_path / "model", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "sub").symlink_to(elsewhere, target_is_directory=True)
    pack(folder / "packed", "zip", [("sub/x", b"x")])
    with pytest.raises(DownloadError, match="link that leads out"):
        unpack(folder / "packed", "zip")
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("form", "damage"),
    [
        (form, damage)
        for form in ("zip", *TAR_FORMS)
        for damage in ("cut", "garbage", "empty")
        if (form, damage) != ("tar", "empty")  # which is sound: an archive of nothing
    ],
)
def test_a_damaged_archive_is_said_to_be_one(tmp_path, form, damage) -> None:
    """Whatever its reader throws becomes one sentence, and nothing is left."""
    target = tmp_path / "packed"
    pack(target, form, [("big", os.urandom(100_000))])
    data = target.read_bytes()
    target.write_bytes({"cut": data[:50_000], "garbage": b"garbage" * 99, "empty": b""}[damage])
    with pytest.raises(DownloadError, match="not a readable archive"):
        unpack(target, form)
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]


def test_an_archive_bomb_is_refused(tmp_path, monkeypatch) -> None:
    """Neither bytes nor entries without end."""
    target = tmp_path / "packed"
    pack(target, "gztar", [("zeros", bytes(3_000_000))])
    monkeypatch.setattr(archive_module, "BYTES_LIMIT", 1_000_000)
    with pytest.raises(DownloadError, match="decompresses to more than 1,000,000 bytes"):
        unpack(target, "gztar")
    pack(target, "tar", [(f"f{number}", b"") for number in range(9)])
    monkeypatch.setattr(archive_module, "ENTRIES_LIMIT", 8)
    with pytest.raises(DownloadError, match="more than 8 entries"):
        unpack(target, "tar")
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]


def test_an_unwritable_place_is_an_error_of_the_workspace(tmp_path) -> None:
    """A folder where a file should go is said in one sentence."""
    (tmp_path / "a.txt" / "full").mkdir(parents=True)
    pack(tmp_path / "packed", "zip", CONTENT.items())
    with pytest.raises(WorkspaceError, match="cannot unpack"):
        unpack(tmp_path / "packed", "zip")


def test_steps_run_once(tmp_path) -> None:
    """A record tells the next run that all is done; a changed result ends its force."""
    text, packed = tmp_path / "net.txt", tmp_path / "packed"
    text.write_text("one two one\n")
    pack(packed, "gztar", CONTENT.items())
    request = PostprocessRequest(
        tmp_path,
        (published(text), published(packed)),
        (
            RegexReplace("net.txt", "one", "1", 1),
            RegexReplace("net.txt", "two", r"<\g<0>>"),
            UnpackArchive("packed", "gztar"),
            RegexReplace("a.txt", "alpha", "beta"),
        ),
    )
    assert not holds(request)
    postprocess(request)
    assert text.read_text() == "1 <two> one\n"
    assert (tmp_path / "net.txt.orig").read_text() == "one two one\n"
    assert (tmp_path / "a.txt").read_text() == "beta"
    assert not packed.exists()
    assert holds(request)
    (tmp_path / "deep" / "er" / "b.bin").write_bytes(b"changed")
    assert not holds(request)


def test_a_killed_run_begins_with_the_originals(tmp_path) -> None:
    """Half of the steps done without a record: they are undone, and all are done."""
    text = tmp_path / "net.txt"
    text.write_text("one two\n")
    steps = (RegexReplace("net.txt", "one", "1"), RegexReplace("net.txt", "two", "2"))
    request = PostprocessRequest(tmp_path, (published(text),), steps)
    postprocess(PostprocessRequest(tmp_path, request.files, steps[:1]))
    assert text.read_text() == "1 two\n"
    restore(request)
    assert text.read_text() == "one two\n"
    postprocess(request)
    assert text.read_text() == "1 2\n"
    assert (tmp_path / "net.txt.orig").read_text() == "one two\n"


def test_a_stale_original_is_not_restored(tmp_path) -> None:
    """An `.orig` of another version of the file has no say."""
    text = tmp_path / "net.txt"
    text.write_text("new\n")
    (tmp_path / "net.txt.orig").write_text("old\n")
    request = PostprocessRequest(
        tmp_path, (published(text),), (RegexReplace("net.txt", "new", "newer"),)
    )
    restore(request)
    postprocess(request)
    assert text.read_text() == "newer\n"
    assert (tmp_path / "net.txt.orig").read_text() == "new\n"


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (RegexReplace("net.txt", "three", ""), "at least once, found it 0 times"),
        (RegexReplace("net.txt", "one", "", 2), "2 times, found it 1 times"),
    ],
)
def test_a_pattern_that_is_not_there_is_an_error(tmp_path, step, said) -> None:
    """The file stays as it was."""
    text = tmp_path / "net.txt"
    text.write_text("one two\n")
    with pytest.raises(DownloadError, match=said):
        postprocess(PostprocessRequest(tmp_path, (published(text),), (step,)))
    assert text.read_text() == "one two\n"


def test_a_file_that_is_no_text_is_said(tmp_path) -> None:
    """Bytes that are not UTF-8 stay as they were."""
    data = b"\xff\xfe\x00"
    (tmp_path / "net.txt").write_bytes(data)
    step = RegexReplace("net.txt", "x", "y")
    with pytest.raises(DownloadError, match="expected text in UTF-8"):
        postprocess(PostprocessRequest(tmp_path, (), (step,)))
    assert (tmp_path / "net.txt").read_bytes() == data
