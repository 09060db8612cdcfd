"""Damaged and hostile archives."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.packages import ROOT, entry, read_members, repack, write_small
from toolchain.errors import PackageFormatError
from toolchain.package.inspection import inspect_package
from toolchain.package.manifest import FILE
from toolchain.stages.unpack.request import UnpackRequest
from toolchain.stages.unpack.unpack import unpack

Entries = list[tuple[tarfile.TarInfo, bytes]]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("good") / "m-1.0.tar.gz")


def _rename_last(name: str) -> Callable[[Entries], Entries]:
    return lambda good: [*good[:-1], entry(name, good[-1][1])]


def _append(*more: tuple[tarfile.TarInfo, bytes]) -> Callable[[Entries], Entries]:
    return lambda good: [*good, *more]


HOSTILE: dict[str, Callable[[Entries], Entries]] = {
    "above": _rename_last(f"{ROOT}/../../escaped"),
    "absolute": _rename_last("/absolute/escaped"),
    "beside": _rename_last("other-1.0/m.onnx"),
    "backslash": _rename_last(f"{ROOT}/..\\escaped"),
    "drive": _rename_last("C:/escaped"),
    "dots": _rename_last(f"{ROOT}/./m.onnx"),
    "empty part": _rename_last(f"{ROOT}//m.onnx"),
    "device name": _rename_last(f"{ROOT}/aux"),
    "bell": _rename_last(f"{ROOT}/a\x07b"),
    "symlink": _append(entry(f"{ROOT}/link", kind=tarfile.SYMTYPE, link="/etc/passwd")),
    "hard link": _append(entry(f"{ROOT}/link", kind=tarfile.LNKTYPE, link=f"{ROOT}/m.onnx")),
    "fifo": _append(entry(f"{ROOT}/pipe", kind=tarfile.FIFOTYPE)),
    "character device": _append(entry(f"{ROOT}/tty", kind=tarfile.CHRTYPE)),
    "block device": _append(entry(f"{ROOT}/sda", kind=tarfile.BLKTYPE)),
    "folder": _append(entry(f"{ROOT}/folder", kind=tarfile.DIRTYPE)),
    "duplicate": _append(entry(f"{ROOT}/m.onnx", b"onnx")),
    "other case": _append(entry(f"{ROOT}/M.ONNX", b"onnx")),
    "second manifest": _append(entry(f"{ROOT}/{FILE}", b"{}")),
    "late manifest": lambda good: [*good[1:], good[0]],
    "no manifest": lambda good: good[1:],
    "manifest elsewhere": lambda good: [entry(f"other/{FILE}", good[0][1]), *good[1:]],
    "nothing": lambda _: [],
    "extra bomb": _append(entry(f"{ROOT}/zeros", bytes(3 << 20))),
    "many small": _append(*(entry(f"{ROOT}/{n}", bytes(1 << 16)) for n in range(40))),
    "swollen": lambda good: [*good[:-1], entry(good[-1][0].name, bytes(5 << 20))],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives_are_refused_before_anything_is_written(
    kind: str, good: Path, tmp_path: Path
) -> None:
    """Neither inspecting nor unpacking creates a file."""
    place = tmp_path / "place"
    place.mkdir()
    bad = repack(place / "bad.tar.gz", HOSTILE[kind](read_members(good)))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(PackageFormatError) as error:
        inspect_package(bad)
    assert "refused" in error.value.message or "damaged" in error.value.message
    assert error.value.kept == "Nothing was written."
    with pytest.raises(PackageFormatError):
        unpack(UnpackRequest(bad, place / "out"))
    assert sorted(tmp_path.rglob("*")) == before


def test_data_after_the_end_is_refused(good: Path, tmp_path: Path) -> None:
    """A second archive, and another gzip stream."""
    tail = gzip.decompress(good.read_bytes())
    repack(tmp_path / "a.tar.gz", read_members(good), bytes(10_240) + tail)
    extended = good.read_bytes() + gzip.compress(bytes(20_000) + b"x")
    (tmp_path / "b.tar.gz").write_bytes(extended)
    for name in ("a.tar.gz", "b.tar.gz"):
        with pytest.raises(PackageFormatError, match="data follows its end"):
            inspect_package(tmp_path / name)


def test_no_more_is_decompressed_than_the_manifest_declares(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a bomb of 200 MB behind a valid manifest, less than 10 MB are decompressed."""
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
        bad = repack(tmp_path / f"{number}.tar.gz", [*read_members(good), *bomb])
        monkeypatch.setattr(gzip.GzipFile, "read", counted)
        read = 0
        with pytest.raises(PackageFormatError, match="refused"):
            inspect_package(bad)
        assert read < 10 << 20
        monkeypatch.undo()


def test_a_large_manifest_is_not_read(tmp_path: Path) -> None:
    """One larger than the limit raises an error."""
    bad = repack(tmp_path / "a.tar.gz", [entry(f"{ROOT}/{FILE}", bytes(5 << 20))])
    with pytest.raises(PackageFormatError, match=r"first entry is not manifest\.json"):
        inspect_package(bad)


@pytest.mark.parametrize(
    "data", [b"", b"no gzip", *(gzip.compress(inner, mtime=0) for inner in (b"no tar", b""))]
)
def test_a_file_that_is_not_an_archive_is_reported(data: bytes, tmp_path: Path) -> None:
    """An empty one, one without gzip, and gzip without a tar."""
    path = tmp_path / "x.tar.gz"
    path.write_bytes(data)
    with pytest.raises(PackageFormatError, match=r"damaged|first entry"):
        inspect_package(path)
