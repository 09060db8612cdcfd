"""Comparison of packages with their manifest, as archive and as folder."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.packages import (
    FILES,
    MANIFEST,
    ROOT,
    entry,
    flip_bit,
    read_contents,
    read_members,
    repack,
    write_folder,
    write_small,
)
from toolchain.errors import PackageFormatError
from toolchain.package.extract import extract
from toolchain.package.inspection import inspect_package
from toolchain.package.manifest import FILE

FAST = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("good") / "m-1.0.tar.gz")


def test_a_valid_package_is_intact_as_archive_and_as_folder(good: Path, tmp_path: Path) -> None:
    """Extracting it writes the declared files and the manifest, and nothing else."""
    assert inspect_package(good).intact
    assert extract(good, tmp_path / "out").intact
    assert read_contents(tmp_path / "out") == {**FILES, FILE: MANIFEST.to_bytes()}
    assert inspect_package(tmp_path / "out").intact


@pytest.mark.parametrize("name", [name for name in FILES if FILES[name]])
def test_a_flipped_bit_is_reported_with_the_name_of_its_file(
    name: str, good: Path, tmp_path: Path
) -> None:
    """In an archive and in a folder, in the first and in the last byte."""
    data = FILES[name]
    for bit in (0, len(data) * 8 - 1):
        bad = flip_bit(data, bit)
        entries = [
            (info, bad if info.name == f"{ROOT}/{name}" else content)
            for info, content in read_members(good)
        ]
        archive = repack(tmp_path / "bad.tar.gz", entries)
        folder = write_folder(tmp_path / "folder")
        (folder / name).write_bytes(bad)
        for found in (inspect_package(archive), inspect_package(folder)):
            assert [change.name for change in found.changed] == [name]
            assert found.changed[0].expected.startswith("sha256 ")
            assert (found.missing, found.extra, found.intact) == ((), (), False)


def test_a_flipped_bit_in_the_manifest_is_noticed(good: Path, tmp_path: Path) -> None:
    """The manifest's own digest does not match, in an archive and in a folder."""
    (first, data), *rest = read_members(good)
    for bit in range(0, len(data) * 8, 997):
        bad = flip_bit(data, bit)
        folder = write_folder(tmp_path / "folder")
        (folder / FILE).write_bytes(bad)
        for package in (repack(tmp_path / "bad.tar.gz", [(first, bad), *rest]), folder):
            with pytest.raises(PackageFormatError, match=r"manifest\.json: not a valid manifest"):
                inspect_package(package)


@FAST
@given(data=st.data())
def test_a_flipped_bit_of_the_archive_is_noticed_or_harmless(
    data: st.DataObject, good: Path, tmp_path: Path
) -> None:
    """Either an error is raised, or every file has its original content."""
    raw = good.read_bytes()
    bad = tmp_path / "bad.tar.gz"
    bad.write_bytes(flip_bit(raw, data.draw(st.integers(0, len(raw) * 8 - 1))))
    written: dict[str, bytes] = {}

    class Recorder(io.BytesIO):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def close(self) -> None:
            written[self.name] = self.getvalue()
            super().close()

    try:
        found = inspect_package(bad, Recorder)
    except PackageFormatError:
        return
    assert found.intact
    assert written == FILES


@FAST
@given(data=st.data())
def test_a_truncated_archive_is_never_intact(
    data: st.DataObject, good: Path, tmp_path: Path
) -> None:
    """Wherever it was cut, an error is raised."""
    raw = good.read_bytes()
    bad = tmp_path / "bad.tar.gz"
    bad.write_bytes(raw[: data.draw(st.integers(0, len(raw) - 1))])
    with pytest.raises(PackageFormatError, match=r"damaged|first entry"):
        inspect_package(bad)


def test_missing_extra_and_changed_files_are_all_reported(good: Path, tmp_path: Path) -> None:
    """Each is listed by name, for an archive and for a folder."""
    entries = [
        (info, data)
        for info, data in read_members(good)
        if not info.name.endswith(("m.onnx", "FP16/m.xml"))
    ]
    entries += [entry(f"{ROOT}/FP16/m.xml", b"<other/>\n"), entry(f"{ROOT}/new/file")]
    folder = write_folder(tmp_path / "folder")
    (folder / "m.onnx").unlink()
    (folder / "FP16/m.xml").write_bytes(b"<other/>\n")
    (folder / "new").mkdir()
    (folder / "new/file").write_bytes(b"x")
    archive = repack(tmp_path / "bad.tar.gz", entries)
    for found in (inspect_package(archive), inspect_package(folder)):
        assert found.missing == ("m.onnx",)
        assert found.extra == ("new/file",)
        assert [(c.name, c.expected, c.found) for c in found.changed] == [
            ("FP16/m.xml", "7 bytes", "9 bytes")
        ]


def test_links_in_a_folder_are_refused(tmp_path: Path) -> None:
    """Links to a file and to a folder, and a linked manifest; git's own folder is ignored."""
    folder = write_folder(tmp_path / "folder")
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("ref")
    assert inspect_package(folder).intact
    for target in (folder / "m.onnx", tmp_path):
        (folder / "link").symlink_to(target)
        with pytest.raises(PackageFormatError, match="link or a device"):
            inspect_package(folder)
        (folder / "link").unlink()
    (folder / FILE).rename(tmp_path / FILE)
    (folder / FILE).symlink_to(tmp_path / FILE)
    with pytest.raises(PackageFormatError):
        inspect_package(folder)


def test_a_large_manifest_in_a_folder_is_not_read(tmp_path: Path) -> None:
    """One larger than the limit raises an error."""
    (tmp_path / FILE).write_bytes(bytes(5 << 20))
    with pytest.raises(PackageFormatError, match="larger than"):
        inspect_package(tmp_path)


def test_a_path_that_does_not_exist_is_reported_as_not_found(tmp_path: Path) -> None:
    """Likewise a link to nothing, and a folder without a manifest."""
    (tmp_path / "link.tar.gz").symlink_to(tmp_path / "nowhere")
    for name in ("nowhere.tar.gz", "link.tar.gz"):
        with pytest.raises(PackageFormatError, match=rf"{name}: file not found"):
            inspect_package(tmp_path / name)
    with pytest.raises(PackageFormatError, match=r"manifest\.json: file not found"):
        inspect_package(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_path_that_is_neither_file_nor_folder_is_an_error(tmp_path: Path) -> None:
    """A named pipe is not opened."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PackageFormatError, match="neither an archive nor a folder"):
        inspect_package(tmp_path / "pipe")
