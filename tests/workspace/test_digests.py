"""Digests of files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolchain.catalog.records import Digest
from toolchain.workspace import digests
from toolchain.workspace.digests import digests_by_name, file_digest, file_digests

relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@relaxed
@given(data=st.binary(max_size=300), chunk=st.integers(1, 64))
def test_the_digest_does_not_depend_on_how_the_file_is_read(
    data: bytes, chunk: int, tmp_path: Path
) -> None:
    """For any chunk size it is the digest of the bytes."""
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digests, "CHUNK", chunk)
        for algorithm in ("sha256", "sha384"):
            found = file_digest(path, algorithm)  # type: ignore[arg-type]
            assert found.value == hashlib.new(algorithm, data).hexdigest()


@relaxed
@given(data=st.binary(min_size=1, max_size=100), place=st.integers(0, 10_000))
def test_one_flipped_bit_changes_the_digest(data: bytes, place: int, tmp_path: Path) -> None:
    """For any bit of any file."""
    path = tmp_path / "file"
    path.write_bytes(data)
    before = file_digest(path)
    index, bit = divmod(place % (8 * len(data)), 8)
    changed = bytearray(data)
    changed[index] ^= 1 << bit
    path.write_bytes(changed)
    assert file_digest(path) != before


def test_several_digests_of_a_file_are_those_of_each_algorithm(tmp_path: Path) -> None:
    """`file_digests` reads the file once and gives the same as `file_digest` for each."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    both = file_digests(path, ("sha256", "sha384"))
    assert both == {name: file_digest(path, name) for name in ("sha256", "sha384")}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Only plain files have a digest."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(OSError, match="not a plain file"):
            file_digest(path)


def test_files_are_named_by_their_place_in_the_folder(tmp_path: Path) -> None:
    """Files in the folder by relative path, others by name."""
    inside, outside = tmp_path / "folder" / "FP16" / "a", tmp_path / "b"
    inside.parent.mkdir(parents=True)
    for path in (inside, outside):
        path.write_bytes(b"")
    names = digests_by_name((inside, outside), tmp_path / "folder")
    assert list(names) == ["FP16/a", "b"]
    assert set(names.values()) == {f"sha256:{hashlib.sha256().hexdigest()}"}


@given(text=st.text(max_size=120))
def test_a_digest_needs_hexadecimal_digits_of_the_right_number(text: str) -> None:
    """Anything else is a ValueError."""
    good = len(text) == 96 and set(text) <= set("0123456789abcdef")
    if good:
        Digest("sha384", text)
    else:
        with pytest.raises(ValueError, match="96 hexadecimal"):
            Digest("sha384", text)
