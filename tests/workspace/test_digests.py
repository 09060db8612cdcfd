"""Digests: of any bytes, in any pieces, the same; of different bytes, different."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolchain.catalog.records import Digest
from toolchain.workspace import digests
from toolchain.workspace.digests import file_digest

relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@relaxed
@given(data=st.binary(max_size=300), chunk=st.integers(1, 64))
def test_the_digest_does_not_depend_on_how_the_file_is_read(
    data: bytes, chunk: int, tmp_path: Path
) -> None:
    """Read in pieces of any size, a file has the digest of its bytes."""
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digests, "CHUNK", chunk)
        for algorithm in ("sha256", "sha384"):
            found = file_digest(path, algorithm)  # type: ignore[arg-type]
            assert found.value == hashlib.new(algorithm, data).hexdigest()


@relaxed
@given(data=st.binary(min_size=1, max_size=100), place=st.integers(0, 10_000))
def test_one_flipped_bit_changes_it(data: bytes, place: int, tmp_path: Path) -> None:
    """No single bit may change unnoticed."""
    path = tmp_path / "file"
    path.write_bytes(data)
    before = file_digest(path)
    index, bit = divmod(place % (8 * len(data)), 8)
    changed = bytearray(data)
    changed[index] ^= 1 << bit
    path.write_bytes(changed)
    assert file_digest(path) != before


@given(text=st.text(max_size=120))
def test_only_hexadecimal_digits_of_the_right_number_are_a_digest(text: str) -> None:
    """Whatever else is refused."""
    good = len(text) == 96 and set(text) <= set("0123456789abcdef")
    if good:
        Digest("sha384", text)
    else:
        with pytest.raises(ValueError, match="96 hexadecimal"):
            Digest("sha384", text)
