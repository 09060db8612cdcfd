"""Bundles, good, damaged and hostile, as archive and as folder."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.bundles import (
    FILES,
    ROOT,
    contents,
    entry,
    flipped,
    manifest_of,
    members,
    repacked,
    write_folder,
    write_small,
)
from toolchain.errors import BundleError
from toolchain.package import hostile
from toolchain.package.archive import write_archive
from toolchain.package.examine import examine
from toolchain.package.extract import extract
from toolchain.package.manifest import FILE
from toolchain.stages.unpack import UnpackRequest, unpack

FAST = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
Entries = list[tuple[tarfile.TarInfo, bytes]]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("good") / "m-1.0.tar.gz")


def test_a_good_one_is_whole_packed_and_unpacked(good: Path, tmp_path: Path) -> None:
    """Nothing missing, extra or changed; what is extracted are the files and the manifest."""
    assert examine(good).whole
    assert extract(good, tmp_path / "out").whole
    assert contents(tmp_path / "out") == {**FILES, FILE: manifest_of(FILES).dumped()}
    assert examine(tmp_path / "out").whole


def test_any_tar_can_unpack_it(good: Path, tmp_path: Path) -> None:
    """One folder, plain files, nobody's, of one time."""
    with tarfile.open(good) as tar:
        infos = tar.getmembers()
        tar.extractall(tmp_path, filter="data")
    assert contents(tmp_path / ROOT) == {**FILES, FILE: manifest_of(FILES).dumped()}
    assert [info.name for info in infos[1:]] == sorted(f"{ROOT}/{name}" for name in FILES)
    told = {(i.mtime, i.mode, i.uid, i.gid, i.uname, i.gname) for i in infos}
    assert told == {(315_532_800, 0o644, 0, 0, "", "")}


def test_the_same_files_give_the_same_bytes(good: Path, tmp_path: Path) -> None:
    """From files of any time and mode or from memory, under any umask and name."""
    folder = write_folder(tmp_path / "elsewhere")
    for number, path in enumerate(sorted(folder.rglob("*"))):
        if path.is_file():
            path.chmod(0o600 if number % 2 else 0o755)
            os.utime(path, (number * 1e6, number * 1e6))
    before = os.umask(0o077)
    try:
        sources = {name: folder / name for name in reversed(FILES)}
        write_archive(manifest_of(FILES), sources, tmp_path / "other.tar.gz")  # type: ignore[arg-type]
    finally:
        os.umask(before)
    assert (tmp_path / "other.tar.gz").read_bytes() == good.read_bytes()


@pytest.mark.parametrize("name", [name for name in FILES if FILES[name]])
def test_a_flipped_bit_is_told_by_the_name_of_its_file(
    name: str, good: Path, tmp_path: Path
) -> None:
    """In the archive and in the folder, in the first and the last byte."""
    data = FILES[name]
    for bit in (0, len(data) * 8 - 1):
        bad = flipped(data, bit)
        entries = [
            (info, bad if info.name == f"{ROOT}/{name}" else content)
            for info, content in members(good)
        ]
        archive = repacked(tmp_path / "bad.tar.gz", entries)
        folder = write_folder(tmp_path / "folder")
        (folder / name).write_bytes(bad)
        for found in (examine(archive), examine(folder)):
            assert [change.name for change in found.changed] == [name]
            assert found.changed[0].expected.startswith("sha256 ")
            assert (found.missing, found.extra, found.whole) == ((), (), False)


def test_a_flipped_bit_in_the_manifest_is_told(good: Path, tmp_path: Path) -> None:
    """By its own seal, in archive and folder."""
    (first, data), *rest = members(good)
    for bit in range(0, len(data) * 8, 997):
        bad = flipped(data, bit)
        folder = write_folder(tmp_path / "folder")
        (folder / FILE).write_bytes(bad)
        for bundle in (repacked(tmp_path / "bad.tar.gz", [(first, bad), *rest]), folder):
            with pytest.raises(BundleError, match=r"manifest\.json: can't be trusted"):
                examine(bundle)


@FAST
@given(data=st.data())
def test_a_flipped_bit_of_the_archive_is_noticed_or_harmless(
    data: st.DataObject, good: Path, tmp_path: Path
) -> None:
    """Whatever bit of its bytes it is, nothing else is ever taken for good."""
    raw = good.read_bytes()
    bad = tmp_path / "bad.tar.gz"
    bad.write_bytes(flipped(raw, data.draw(st.integers(0, len(raw) * 8 - 1))))
    taken: dict[str, bytes] = {}

    class Taken(io.BytesIO):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def close(self) -> None:
            taken[self.name] = self.getvalue()
            super().close()

    try:
        found = examine(bad, Taken)
    except BundleError:
        return
    assert found.whole
    assert taken == FILES


@FAST
@given(data=st.data())
def test_a_truncated_archive_is_never_whole(
    data: st.DataObject, good: Path, tmp_path: Path
) -> None:
    """Cut anywhere, it is damaged, or lacks files by name."""
    raw = good.read_bytes()
    bad = tmp_path / "bad.tar.gz"
    bad.write_bytes(raw[: data.draw(st.integers(0, len(raw) - 1))])
    with pytest.raises(BundleError, match=r"damaged|first entry"):
        examine(bad)


def test_missing_extra_and_changed_files_are_all_told(good: Path, tmp_path: Path) -> None:
    """Every one by name, in one go, packed and unpacked."""
    entries = [
        (info, data) for info, data in members(good) if not info.name.endswith(("card", "m.onnx"))
    ]
    entries = [(i, d) for i, d in entries if not i.name.endswith("FP16/m.xml")]
    entries += [entry(f"{ROOT}/FP16/m.xml", b"<other/>\n"), entry(f"{ROOT}/new/file")]
    folder = write_folder(tmp_path / "folder")
    (folder / "m.onnx").unlink()
    (folder / "FP16/m.xml").write_bytes(b"<other/>\n")
    (folder / "new").mkdir()
    (folder / "new/file").write_bytes(b"x")
    for found in (examine(repacked(tmp_path / "bad.tar.gz", entries)), examine(folder)):
        assert found.missing == ("m.onnx",)
        assert found.extra == ("new/file",)
        assert [(c.name, c.expected, c.found) for c in found.changed] == [
            ("FP16/m.xml", "7 bytes", "9 bytes")
        ]


def _renamed(name: str) -> Callable[[Entries], Entries]:
    return lambda good: [*good[:-1], entry(name, good[-1][1])]


def _added(*more: tuple[tarfile.TarInfo, bytes]) -> Callable[[Entries], Entries]:
    return lambda good: [*good, *more]


def _late(good: Entries) -> Entries:
    return [*good[1:], good[0]]


HOSTILE: dict[str, Callable[[Entries], Entries]] = {
    "above": _renamed(f"{ROOT}/../../escaped"),
    "absolute": _renamed("/tmp/escaped"),
    "beside": _renamed("other-1.0/m.onnx"),
    "backslash": _renamed(f"{ROOT}/..\\escaped"),
    "drive": _renamed("C:/escaped"),
    "dots": _renamed(f"{ROOT}/./m.onnx"),
    "empty part": _renamed(f"{ROOT}//m.onnx"),
    "device name": _renamed(f"{ROOT}/aux"),
    "bell": _renamed(f"{ROOT}/a\x07b"),
    "symlink": _added(entry(f"{ROOT}/link", kind=tarfile.SYMTYPE, link="/etc/passwd")),
    "hard link": _added(entry(f"{ROOT}/link", kind=tarfile.LNKTYPE, link=f"{ROOT}/m.onnx")),
    "fifo": _added(entry(f"{ROOT}/pipe", kind=tarfile.FIFOTYPE)),
    "character device": _added(entry(f"{ROOT}/tty", kind=tarfile.CHRTYPE)),
    "block device": _added(entry(f"{ROOT}/sda", kind=tarfile.BLKTYPE)),
    "folder": _added(entry(f"{ROOT}/folder", kind=tarfile.DIRTYPE)),
    "duplicate": _added(entry(f"{ROOT}/m.onnx", b"onnx")),
    "other case": _added(entry(f"{ROOT}/M.ONNX", b"onnx")),
    "second manifest": _added(entry(f"{ROOT}/{FILE}", b"{}")),
    "late manifest": _late,
    "no manifest": lambda good: good[1:],
    "nothing": lambda _: [],
    "extra bomb": _added(entry(f"{ROOT}/zeros", bytes(3 << 20))),
    "many small": _added(*(entry(f"{ROOT}/{n}", bytes(1 << 16)) for n in range(40))),
    "swollen": lambda good: [*good[:-1], entry(good[-1][0].name, bytes(5 << 20))],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives_are_refused_before_anything_is_written(
    kind: str, good: Path, tmp_path: Path
) -> None:
    """By reading and by unpacking alike; no file appears anywhere."""
    place = tmp_path / "place"
    place.mkdir()
    bad = repacked(place / "bad.tar.gz", HOSTILE[kind](members(good)))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BundleError) as error:
        examine(bad)
    assert "refused" in error.value.message or "damaged" in error.value.message
    assert error.value.kept == "Nothing was written."
    with pytest.raises(BundleError):
        unpack(UnpackRequest(bad, place / "out"))
    assert sorted(tmp_path.rglob("*")) == before


def test_what_follows_the_end_is_not_passed_over(good: Path, tmp_path: Path) -> None:
    """Bytes after the archive's end, a second archive, and another gzip stream are refused."""
    tail = gzip.decompress(good.read_bytes())
    for bad in (
        repacked(tmp_path / "a.tar.gz", members(good), bytes(10_240) + tail),
        tmp_path / "b.tar.gz",
    ):
        if not bad.exists():
            bad.write_bytes(good.read_bytes() + gzip.compress(bytes(20_000) + b"x"))
        with pytest.raises(BundleError):
            examine(bad)


def test_no_more_is_decompressed_than_was_declared(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bomb of 200 MB behind a good manifest costs no more than what that declares and a bit."""
    read = 0
    real = gzip.GzipFile.read

    def counted(self: gzip.GzipFile, size: int = -1) -> bytes:
        nonlocal read
        data = real(self, size)
        read += len(data)
        return data

    bombs = [entry(f"{ROOT}/zeros", bytes(200 << 20))]
    header = tarfile.TarInfo(f"{ROOT}/long")
    header.pax_headers = {"comment": "0" * (100 << 20)}
    for number, bomb in enumerate((bombs, [(header, b"")])):
        bad = repacked(tmp_path / f"{number}.tar.gz", [*members(good), *bomb])
        monkeypatch.setattr(hostile.gzip.GzipFile, "read", counted)
        read = 0
        with pytest.raises(BundleError, match="refused"):
            examine(bad)
        assert read < 10 << 20
        monkeypatch.undo()


def test_a_manifest_too_large_to_be_one_is_not_read(tmp_path: Path) -> None:
    """Nor is one of a folder."""
    big = bytes(5 << 20)
    with pytest.raises(BundleError, match=r"first entry is no manifest\.json"):
        examine(repacked(tmp_path / "a.tar.gz", [entry(f"{ROOT}/{FILE}", big)]))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / FILE).write_bytes(big)
    with pytest.raises(BundleError, match="larger than"):
        examine(tmp_path / "folder")


@pytest.mark.parametrize(
    "data", [b"", b"no gzip", *(gzip.compress(inner, mtime=0) for inner in (b"no tar", b""))]
)
def test_what_is_no_archive_is_told(data: bytes, tmp_path: Path) -> None:
    """In one sentence."""
    path = tmp_path / "x.tar.gz"
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"damaged|first entry"):
        examine(path)


def test_links_in_a_folder_are_refused(tmp_path: Path) -> None:
    """To a file, to a folder, and the manifest itself; git's own folder is passed over."""
    folder = write_folder(tmp_path / "folder")
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("ref")
    assert examine(folder).whole
    for target in (folder / "m.onnx", tmp_path):
        (folder / "link").symlink_to(target)
        with pytest.raises(BundleError, match="link or a device"):
            examine(folder)
        (folder / "link").unlink()
    (folder / FILE).rename(tmp_path / FILE)
    (folder / FILE).symlink_to(tmp_path / FILE)
    with pytest.raises(BundleError):
        examine(folder)


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    """A path to nothing, and a folder without a manifest."""
    with pytest.raises(BundleError, match="neither an archive nor a folder"):
        examine(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"manifest\.json: is not there"):
        examine(tmp_path)
