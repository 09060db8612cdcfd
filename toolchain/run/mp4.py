"""A fragmented MP4 or MOV that was cut off: its last, torn fragment taken off."""

from __future__ import annotations

import struct
from pathlib import Path

HEAD = struct.Struct(">I4s")
LARGE = struct.Struct(">Q")  # the size of a box whose 32 bits say 1
PAYLOADS = (b"mdat", b"moov")  # after which a file may end: pictures, or the index of all


def trim(path: Path) -> None:
    """Cut the file behind its last whole fragment (ISO/IEC 14496-12: boxes of size and kind).

    A file without any becomes empty.
    """
    good = at = 0
    with path.open("rb+") as stream:
        length = path.stat().st_size
        while at + HEAD.size <= length:
            stream.seek(at)
            size, kind = HEAD.unpack(stream.read(HEAD.size))
            if size == 1:
                (size,) = LARGE.unpack(stream.read(LARGE.size).ljust(LARGE.size, b"\0"))
            if size < HEAD.size or at + size > length:
                break
            at += size
            if kind in PAYLOADS:
                good = at
        stream.truncate(good)
