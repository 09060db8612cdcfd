"""Zip archives of unknown origin: what is damaged or lies about its sizes is refused."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable

import pytest

from toolchain.checkpoints.sources import Memory
from toolchain.checkpoints.zips import Archive
from toolchain.errors import CheckpointError

DIRECTORY, LOCAL, END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"
CONTENT = {"a/data.pkl": b"pickle" * 50, "a/data/0": bytes(range(256)) * 4, "a/empty": b""}


def packed(method: int = zipfile.ZIP_STORED, content: dict[str, bytes] | None = None) -> bytes:
    """An archive of `content`."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in (CONTENT if content is None else content).items():
            archive.writestr(name, data)
    return stream.getvalue()


def read(data: bytes) -> dict[str, bytes]:
    """Every member."""
    archive = Archive(Memory(data))
    found = {}
    for name in archive.members:
        source = archive.open(name)
        found[name] = bytes(source.read(0, source.size))
    return found


def patched(
    offset: int, value: bytes, signature: bytes = DIRECTORY, data: bytes | None = None
) -> bytes:
    """An archive with other bytes in its last structure of a kind."""
    changed = bytearray(packed() if data is None else data)
    place = changed.rfind(signature) + offset
    changed[place : place + len(value)] = value
    return bytes(changed)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read(method: int) -> None:
    """Stored and deflated ones, also empty ones."""
    assert read(packed(method)) == CONTENT


def test_long_headers_and_comments_are_read() -> None:
    """Zip64 fields, as PyTorch writes them, and a comment."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.comment = b"PK\x05\x06 no end" * 20
        with archive.open("a/x", "w", force_zip64=True) as member:
            member.write(b"content")
    assert read(stream.getvalue()) == {"a/x": b"content"}


def test_a_bomb_is_refused_by_its_declared_size() -> None:
    """Before anything is unpacked."""
    bomb = packed(zipfile.ZIP_DEFLATED, {"a/data.pkl": bytes(200 << 20)})
    assert len(bomb) < 1 << 20
    with pytest.raises(CheckpointError, match="209,715,200 bytes unpacked"):
        read(bomb)


def test_many_members_that_unpack_to_much_are_refused() -> None:
    """Each of them is within the limit."""
    with pytest.raises(CheckpointError, match="unpacked"):
        read(packed(zipfile.ZIP_DEFLATED, {f"a/{index}": bytes(30 << 20) for index in range(4)}))


def test_a_member_larger_than_declared_is_refused() -> None:
    """Nothing beyond the declared size is kept."""
    bomb = packed(zipfile.ZIP_DEFLATED, {"a/data.pkl": bytes(1 << 20)})
    with pytest.raises(CheckpointError, match="cannot be unpacked"):
        read(patched(24, struct.pack("<I", 1000), data=bomb))


def test_too_many_members_are_refused() -> None:
    """By the count in the end of the archive, and by the count that is real."""
    many = packed(content={f"a/{index}": b"" for index in range(20_001)})
    with pytest.raises(CheckpointError, match="20,001 files"):
        read(many)
    with pytest.raises(CheckpointError, match="another number of entries"):
        read(patched(10, struct.pack("<H", 100), END, many))


LIES = {
    "overlap": lambda: patched(42, struct.pack("<I", 0)),
    "beyond the end": lambda: patched(42, struct.pack("<I", 1 << 30)),
    "into the directory": lambda: patched(20, struct.pack("<I", 5000)),
    "packed size": lambda: patched(20, struct.pack("<I", 1)),
    "size": lambda: patched(24, struct.pack("<I", 1)),
    "checksum": lambda: patched(16, b"\1\2\3\4"),
    "size in a zip64 field that is missing": lambda: patched(20, b"\xff" * 4),
    "name": lambda: patched(46, b"b"),
    "length of a name": lambda: patched(28, struct.pack("<H", 60_000)),
    "signature": lambda: patched(0, b"PK\x09\x09"),
    "local signature": lambda: patched(0, b"PK\x09\x09", LOCAL),
    "local name": lambda: patched(30, b"b", LOCAL),
    "local extra field": lambda: patched(28, struct.pack("<H", 60_000), LOCAL),
    "directory's start": lambda: patched(16, struct.pack("<I", 1 << 30), END),
    "directory's size": lambda: patched(12, struct.pack("<I", 1), END),
    "disk": lambda: patched(4, struct.pack("<H", 3), END),
    "comment": lambda: patched(20, struct.pack("<H", 9), END),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_an_archive_that_contradicts_itself_is_refused(name: str) -> None:
    """One error, whatever it is that does not fit."""
    make: Callable[[], bytes] = LIES[name]
    with pytest.raises(CheckpointError):
        read(make())


def test_names_that_are_no_utf8_are_refused() -> None:
    """Where they are marked as UTF-8."""
    data = bytearray(patched(8, struct.pack("<H", 0x800)))
    data[data.rfind(DIRECTORY) + 46] = 0xFF
    with pytest.raises(CheckpointError, match="not UTF-8"):
        read(bytes(data))


def test_two_members_of_one_name_are_refused() -> None:
    """It is not said which of them counts."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a/data.pkl", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a/data.pkl", b"2")
    with pytest.raises(CheckpointError, match=r"two files named a/data\.pkl"):
        read(stream.getvalue())


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (8, b"\1\0", "encrypted"),
        (10, struct.pack("<H", 12), "method 12"),
        (10, b"\xff\xff", "method"),
    ],
)
def test_what_is_not_supported_is_named(offset: int, value: bytes, message: str) -> None:
    """Encryption and other compressions."""
    with pytest.raises(CheckpointError, match=message):
        read(patched(offset, value))


def test_a_later_version_of_the_format_does_not_matter() -> None:
    """What is needed to extract is known without it."""
    assert read(patched(6, b"\xff\0")) == CONTENT


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_cut_anywhere_is_refused(method: int) -> None:
    """Its directory is at its end."""
    data = packed(method)
    for size in range(len(data)):
        with pytest.raises(CheckpointError):
            read(data[:size])


def test_a_damaged_byte_is_noticed() -> None:
    """By the checksum, or by the deflated stream."""
    data = packed(zipfile.ZIP_DEFLATED)
    start, end = 30 + len("a/data.pkl"), data.find(LOCAL, 4)
    for place in range(start, end):
        changed = bytearray(data)
        changed[place] ^= 0x55
        with pytest.raises(CheckpointError):
            read(bytes(changed))
