"""Atomic writes."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path

import pytest

from toolchain.errors import WorkspaceError
from toolchain.workspace.atomic import (
    TEMPORARY_SUFFIX,
    atomic_write,
    nan_to_null,
    os_errors,
    publish_pair,
    sweep,
    write_bytes,
    write_json,
)


def test_atomic_write_creates_the_file_at_the_end_of_the_context(tmp_path) -> None:
    """The folder is created, and no temporary file is left."""
    target = tmp_path / "deep" / "file"
    with atomic_write(target) as temporary:
        temporary.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_atomic_write_keeps_the_old_file_after_an_exception(tmp_path) -> None:
    """The temporary file is removed."""
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def fail() -> None:
        with atomic_write(target) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("exists", "kept"), [(True, "The existing file is unchanged."), (False, "")]
)
def test_the_error_of_a_failed_write_states_what_was_kept(tmp_path, monkeypatch, exists, kept):
    """Only if there is an older file, which is then unchanged."""
    target = tmp_path / "file"
    if exists:
        target.write_bytes(b"old")

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(WorkspaceError) as caught:
        write_bytes(target, b"new")
    assert caught.value.kept == kept
    assert target.exists() == exists
    assert not exists or target.read_bytes() == b"old"


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are POSIX")
def test_a_written_file_has_default_permissions(tmp_path) -> None:
    """The private mode of the temporary file is not kept."""
    (tmp_path / "usual").touch()
    write_bytes(tmp_path / "file", b"")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_json_is_indented_and_ends_with_a_newline(tmp_path) -> None:
    """Keys keep their order, non-ASCII characters are not escaped, NaN is an error."""
    write_json(tmp_path / "file", {"b": "ü", "a": 1})
    assert (tmp_path / "file").read_text(encoding="utf-8") == '{\n  "b": "ü",\n  "a": 1\n}\n'
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "file", float("nan"))


def test_nan_and_infinity_become_null() -> None:
    """In nested dicts and lists; other values are kept."""
    value = {"a": [1.5, float("nan"), {"b": float("-inf")}], "c": "x", "d": 2}
    assert nan_to_null(value) == {"a": [1.5, None, {"b": None}], "c": "x", "d": 2}


def test_publish_pair_never_leaves_a_mixed_pair(tmp_path, monkeypatch) -> None:
    """If the process is killed between the two renames, the file that readers open is missing."""
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


def test_sweep_removes_only_temporary_files(tmp_path) -> None:
    """Files and folders of killed processes are removed at any depth."""
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
def test_an_os_error_becomes_a_message_with_a_hint(tmp_path, number, hint) -> None:
    """The message has path, action and cause; the hint depends on the cause."""
    with pytest.raises(WorkspaceError) as caught, os_errors(tmp_path, "write"):
        raise OSError(number, os.strerror(number))
    assert caught.value.message == f"{tmp_path}: cannot write: {os.strerror(number)}"
    assert hint in caught.value.hint
    assert caught.value.kept == ""


def test_json_contains_names_that_are_not_utf8(tmp_path: Path) -> None:
    """A byte of a file name that is not UTF-8 is read back as it was."""
    name = b"bad\xff.pth".decode(errors="surrogateescape")
    write_json(tmp_path / "file", {"name": name})
    assert json.loads((tmp_path / "file").read_text(encoding="utf-8")) == {"name": name}
