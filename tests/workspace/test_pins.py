"""The record of digests of files without a published digest."""

from __future__ import annotations

import json

import pytest

from toolchain.catalog.records import Digest
from toolchain.errors import IntegrityError
from toolchain.workspace.pins import FILE, Pin, adopt, read_pins, record_pin, unverified_path

ONE, TWO = Digest("sha384", "1" * 96), Digest("sha384", "2" * 96)


def test_a_folder_without_a_record_has_no_pins(tmp_path) -> None:
    """Nor has a folder that does not exist."""
    assert read_pins(tmp_path) == {}
    assert read_pins(tmp_path / "absent") == {}


def test_a_digest_is_recorded_once(tmp_path) -> None:
    """Digest, size and source are recorded; the same digest again changes nothing."""
    record_pin(tmp_path, "a.pth", Pin(ONE, 7, "https://host.example/a.pth"))
    record_pin(tmp_path, "b.pth", Pin(TWO, 8, "by hand"))
    before = (tmp_path / FILE).read_bytes()
    record_pin(tmp_path, "a.pth", Pin(ONE, 7, "elsewhere"))
    assert (tmp_path / FILE).read_bytes() == before
    assert read_pins(tmp_path) == {"a.pth": ONE, "b.pth": TWO}
    written = json.loads(before)["files"]["a.pth"]
    assert written == {"sha384": ONE.value, "size": 7, "source": "https://host.example/a.pth"}


def test_another_digest_is_an_error_until_it_is_accepted(tmp_path) -> None:
    """The error names file, expected, found and the option; accepting changes only that file."""
    record_pin(tmp_path, "a.pth", Pin(ONE, 7, "x"))
    record_pin(tmp_path, "b.pth", Pin(ONE, 7, "x"))
    with pytest.raises(IntegrityError) as caught:
        record_pin(tmp_path, "a.pth", Pin(TWO, 8, "x"))
    assert f"expected sha384 {ONE.value}, found {TWO.value}" in caught.value.message
    assert "--accept a.pth" in caught.value.hint
    assert read_pins(tmp_path) == {"a.pth": ONE, "b.pth": ONE}
    record_pin(tmp_path, "a.pth", Pin(TWO, 8, "x"), accept=True)
    assert read_pins(tmp_path) == {"a.pth": TWO, "b.pth": ONE}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"files": []}',
        '{"files": {"a.pth": 1}}',
        '{"files": {"a.pth": {"sha384": "12", "size": 1, "source": ""}}}',
    ],
)
def test_a_damaged_record_is_an_error(tmp_path, text) -> None:
    """Damage must not disable verification silently."""
    (tmp_path / FILE).write_text(text)
    with pytest.raises(IntegrityError, match="invalid record of digests"):
        read_pins(tmp_path)
    with pytest.raises(IntegrityError):
        record_pin(tmp_path, "a.pth", Pin(ONE, 7, "x"))
    assert (tmp_path / FILE).read_text() == text


def test_adopt_renames_the_checked_file(tmp_path) -> None:
    """The file `.unverified` is gone afterwards."""
    waiting = unverified_path(tmp_path / "a.pth")
    waiting.write_bytes(b"checked")
    adopt(tmp_path, "a.pth")
    assert (tmp_path / "a.pth").read_bytes() == b"checked"
    assert not waiting.exists()
