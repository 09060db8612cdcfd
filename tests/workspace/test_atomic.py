"""Files are there whole or not at all."""

from __future__ import annotations

import errno
import os
import sys

import pytest

from toolchain.errors import WorkspaceError
from toolchain.workspace.atomic import (
    TEMPORARY_SUFFIX,
    os_errors,
    publish_pair,
    sweep,
    write_bytes,
    write_json,
    writing,
)


def test_a_file_appears_when_the_block_ends_well(tmp_path) -> None:
    """The folder is made, the content is there, nothing is left beside it."""
    target = tmp_path / "deep" / "file"
    with writing(target) as temporary:
        temporary.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_a_failed_block_changes_nothing(tmp_path) -> None:
    """The old content stays, the temporary file goes."""
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def fail() -> None:
        with writing(target) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are POSIX")
def test_permissions_are_those_of_any_new_file(tmp_path) -> None:
    """A temporary file's private mode does not stick."""
    (tmp_path / "usual").touch()
    write_bytes(tmp_path / "file", b"")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_json_is_readable_and_ends_with_a_newline(tmp_path) -> None:
    """Order is kept, letters stay letters, NaN is refused."""
    write_json(tmp_path / "file", {"b": "ü", "a": 1})
    assert (tmp_path / "file").read_text(encoding="utf-8") == '{\n  "b": "ü",\n  "a": 1\n}\n'
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "file", float("nan"))


def test_a_pair_is_never_mixed(tmp_path, monkeypatch) -> None:
    """A kill between the two renames leaves no file that would be read with the wrong partner."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("m.bin", "m.xml"):
        (folder / name).write_bytes(b"old")
        (tmp_path / name).write_bytes(b"new")
    real, calls = os.fsync, []

    def killed(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 2:
            raise KeyboardInterrupt
        real(handle)

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        publish_pair(tmp_path / "m.bin", tmp_path / "m.xml", folder)
    assert not (folder / "m.xml").exists()


def test_sweeping_removes_left_overs_alone(tmp_path) -> None:
    """Files and folders of killed writers go, at any depth."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / f".x.1{TEMPORARY_SUFFIX}").touch()
    (tmp_path / f".y.2{TEMPORARY_SUFFIX}").mkdir()
    (tmp_path / "kept").touch()
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["deep", "kept"]


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EACCES, "you may write to"),
        (errno.EIO, "Check the path"),
    ],
)
def test_the_system_s_errors_become_a_sentence_and_a_way_out(tmp_path, number, hint) -> None:
    """Path, what was tried, why, what was kept, what to do."""
    with pytest.raises(WorkspaceError) as caught, os_errors(tmp_path, "write"):
        raise OSError(number, os.strerror(number))
    assert caught.value.message == f"{tmp_path}: can't write: {os.strerror(number)}"
    assert hint in caught.value.hint
