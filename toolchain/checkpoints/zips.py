"""A reader of zip archives of unknown origin, for stored and deflated members.

Everything is checked against the central directory before memory is taken: the number of members,
their sizes, and that no two of them overlap.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from toolchain.checkpoints.limits import (
    DIRECTORY_BYTES,
    INFLATED_BYTES,
    INFLATED_TOTAL,
    MEMBERS,
)
from toolchain.checkpoints.sources import DamagedError, Memory, Slice, Source
from toolchain.errors import CheckpointError
from toolchain.printable import printable

SIGNATURE = b"PK\x03\x04"
_DIRECTORY_SIGNATURE = b"PK\x01\x02"
_END_SIGNATURE = b"PK\x05\x06"
_LOCATOR_SIGNATURE = b"PK\x06\x07"
_END64_SIGNATURE = b"PK\x06\x06"
_LOCAL = struct.Struct("<4s5H3L2H")
_DIRECTORY = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LONGEST_COMMENT = 1 << 16
_IN_EXTRA = 0xFFFFFFFF  # the value is in the extra field (zip64)
_IN_EXTRA_SHORT = 0xFFFF
_ZIP64_FIELD = 1
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _UTF8 = 0x1, 0x800
_PIECE = 1 << 18


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the archive.

    Attributes:
        name: Its path.
        size: Bytes of its content.
        packed: Bytes that it takes in the archive.
        method: How it is compressed.
        crc: CRC-32 of its content.
        is_encrypted: Whether a password is needed.
        start: Where its local header begins; once that is read, where its content begins.
    """

    name: str
    size: int
    packed: int
    method: int
    crc: int
    is_encrypted: bool
    start: int


class Archive:
    """The members of a zip archive.

    Args:
        source: The archive.

    Attributes:
        members: By name.

    Raises:
        DamagedError: It is not a zip archive, damaged, or contradicts itself.
        CheckpointError: It has more members than any checkpoint of this network.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._left = INFLATED_TOTAL
        self._last: tuple[str, Source] = ("", Memory(b""))
        self._verified: set[str] = set()
        start, size, count = _find_directory(source)
        if count > MEMBERS or size > DIRECTORY_BYTES:
            raise CheckpointError(
                f"it is a zip archive of {count:,} files, more than any checkpoint of this network",
                hint="Save only `model.state_dict()`, or name another file.",
            )
        self.members: dict[str, Member] = {}
        entries = itertools.islice(_read_directory(source, start, size), count + 1)
        found = sorted(entries, key=lambda entry: entry.start)
        if len(found) != count:
            raise DamagedError("it is damaged: its directory has another number of entries")
        ends = [*(entry.start for entry in found[1:]), start][:count]
        for member, end in zip(found, ends, strict=True):
            content = _find_content(source, member)
            if content + member.packed > end:
                raise DamagedError("it is damaged: files in it overlap")
            if member.name in self.members:
                raise DamagedError(f"it holds two files named {printable(member.name)}")
            self.members[member.name] = replace(member, start=content)
        self._has_checksums = any(member.crc for member in self.members.values())

    def open(self, name: str) -> Source:
        """Return the content of a member, its checksum verified.

        Raises:
            DamagedError: It does not exist or is damaged.
            CheckpointError: It is encrypted, compressed in another way, or too large.
        """
        member = self.members.get(name)
        if member is None:
            raise DamagedError(f"it is damaged: {printable(name)} is missing in it")
        if member.is_encrypted:
            raise CheckpointError(
                "it is an encrypted zip archive", hint="Unpack it with its password first."
            )
        packed = Slice(self._source, member.start, member.packed)
        if member.method == _STORED:
            if member.packed != member.size:
                raise self._damaged(member)
            if name not in self._verified:
                self._check(member, _checksum(packed))
                self._verified.add(name)
            return packed
        if member.method != _DEFLATED:
            raise CheckpointError(
                f"{printable(name)} in it is compressed in a way that is not supported "
                f"(method {member.method})",
                hint="Save the checkpoint again with torch.save.",
            )
        if self._last[0] != name:
            self._last = ("", Memory(b""))
            self._last = (name, self._inflate(member, packed))
        return self._last[1]

    def _inflate(self, member: Member, packed: Source) -> Source:
        if member.size > INFLATED_BYTES or member.size > self._left:
            raise CheckpointError(
                f"{printable(member.name)} in it takes {member.size:,} bytes unpacked, more than "
                "any checkpoint of this network needs",
                hint="Name another file.",
            )
        self._left -= member.size
        content, filled = bytearray(member.size), 0
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            for piece in _pieces(packed):
                rest: bytes | bytearray = piece
                while rest and not inflater.eof:
                    # One byte more than declared shows that the declared size is wrong.
                    output = inflater.decompress(rest, min(member.size - filled + 1, _PIECE))
                    rest = inflater.unconsumed_tail
                    if filled + len(output) > member.size:
                        raise self._damaged(member)
                    content[filled : filled + len(output)] = output
                    filled += len(output)
        except zlib.error as error:
            raise self._damaged(member) from error
        if filled != member.size or not inflater.eof:
            raise self._damaged(member)
        self._check(member, zlib.crc32(content))
        return Memory(content)

    def _check(self, member: Member, found: int) -> None:
        # torch.serialization.set_crc32_options(False) writes zeros.
        if self._has_checksums and found != member.crc:
            raise self._damaged(member)

    @staticmethod
    def _damaged(member: Member) -> DamagedError:
        return DamagedError(f"it is damaged: {printable(member.name)} in it cannot be unpacked")


@dataclass(frozen=True, slots=True)
class MemberData:
    """A member as the data of a storage; opened when it is needed.

    Attributes:
        archive: The archive.
        name: Name of the member.
    """

    archive: Archive
    name: str

    def open(self) -> Source:
        """Return the content, its checksum verified."""
        return self.archive.open(self.name)


def _pieces(source: Source) -> Iterator[bytearray]:
    for start in range(0, source.size, _PIECE):
        yield source.read(start, min(_PIECE, source.size - start))


def _checksum(source: Source) -> int:
    crc = 0
    for piece in _pieces(source):
        crc = zlib.crc32(piece, crc)
    return crc


def _find_directory(source: Source) -> tuple[int, int, int]:
    """Where the central directory is: first byte, size, number of entries."""
    tail_start = max(0, source.size - _LONGEST_COMMENT - _END.size)
    tail = bytes(source.read(tail_start, source.size - tail_start))
    place, comment = len(tail), len(tail)
    while place + _END.size + comment > len(tail):  # the signature may be part of a comment
        place = tail.rfind(_END_SIGNATURE, 0, place)
        if place < 0:
            raise DamagedError("it is a truncated zip archive: its directory is missing")
        comment = len(tail)
        if place + _END.size <= len(tail):
            _, disk, _, _, count, size, start, comment = _END.unpack_from(tail, place)
    end = tail_start + place
    if disk not in (0, _IN_EXTRA_SHORT):
        raise DamagedError("it is damaged: the end of the zip archive is wrong")
    if end >= _LOCATOR.size:
        locator = source.read(end - _LOCATOR.size, _LOCATOR.size)
        signature, disk, offset, disks = _LOCATOR.unpack(locator)
        if signature == _LOCATOR_SIGNATURE:
            if disk or disks > 1:
                raise DamagedError("it is damaged: the end of the zip archive is wrong")
            signature, *_, count, size, start = _END64.unpack(source.read(offset, _END64.size))
            end -= _LOCATOR.size + _END64.size
            if signature != _END64_SIGNATURE or end != offset:
                raise DamagedError("it is damaged: the end of the zip archive is wrong")
    if start + size != end:
        raise DamagedError("it is damaged: the directory of the zip archive is misplaced")
    return start, size, count


def _read_directory(source: Source, start: int, size: int) -> Iterator[Member]:
    """Entries of the central directory, with the starts of their local headers."""
    data, place = bytes(source.read(start, size)), 0
    while place < size:
        if place + _DIRECTORY.size > size:
            raise DamagedError("it is damaged: the directory of the zip archive ends early")
        (signature, _, _, flags, method, _, _, crc, packed, unpacked, name_size, extra_size,
         comment_size, _, _, _, offset) = _DIRECTORY.unpack_from(data, place)  # fmt: skip
        place += _DIRECTORY.size
        following = place + name_size + extra_size + comment_size
        if signature != _DIRECTORY_SIGNATURE or following > size:
            raise DamagedError("it is damaged: the directory of the zip archive is wrong")
        name = _decode_name(data[place : place + name_size], flags)
        extra = data[place + name_size : place + name_size + extra_size]
        unpacked, packed, offset = _read_zip64(extra, (unpacked, packed, offset))
        encrypted = bool(flags & _ENCRYPTED)
        yield Member(name, unpacked, packed, method, crc, encrypted, start=offset)
        place = following


def _find_content(source: Source, member: Member) -> int:
    """Read the local header of a member; returns where its content begins."""
    header = source.read(member.start, _LOCAL.size)
    signature, _, flags, *_, name_size, extra_size = _LOCAL.unpack(header)
    name = bytes(source.read(member.start + _LOCAL.size, name_size))
    if signature != SIGNATURE or _decode_name(name, flags) != member.name:
        raise DamagedError(f"it is damaged: the header of {printable(member.name)} in it is wrong")
    return int(member.start + _LOCAL.size + name_size + extra_size)


def _decode_name(name: bytes, flags: int) -> str:
    try:
        return name.decode("utf-8" if flags & _UTF8 else "cp437")
    except UnicodeDecodeError as error:
        raise DamagedError("it is damaged: a name in the zip archive is not UTF-8") from error


def _read_zip64(extra: bytes, values: tuple[int, int, int]) -> tuple[int, int, int]:
    """Replace the values that only the extra field has."""
    if _IN_EXTRA not in values:
        return values
    place = 0
    while place + 4 <= len(extra):
        field, size = struct.unpack_from("<2H", extra, place)
        if field == _ZIP64_FIELD:
            content = extra[place + 4 : place + 4 + size]
            long = iter(
                [number for (number,) in struct.iter_unpack("<Q", content[: size // 8 * 8])]
            )
            try:
                found = [next(long) if value == _IN_EXTRA else value for value in values]
            except StopIteration:
                break
            return found[0], found[1], found[2]
        place += 4 + size
    raise DamagedError("it is damaged: a size in the zip archive is missing")
