"""Repair of a fragmented MP4 or MOV file whose writing was interrupted."""

from __future__ import annotations

import struct
from pathlib import Path

HEADER = struct.Struct(">I4s")  # size and type of a box
LARGE_SIZE = struct.Struct(">Q")  # follows the header if the size field is 1
LAST_BOXES = (b"mdat", b"moov")  # boxes that a playable file may end with


def truncate_after_last_fragment(path: Path) -> None:
    """Cut the file after its last complete fragment (boxes as in ISO/IEC 14496-12).

    Args:
        path: The file. It becomes empty if it has no complete fragment.
    """
    end = position = 0
    with path.open("rb+") as stream:
        length = path.stat().st_size
        while position + HEADER.size <= length:
            stream.seek(position)
            size, kind = HEADER.unpack(stream.read(HEADER.size))
            if size == 1:
                (size,) = LARGE_SIZE.unpack(stream.read(LARGE_SIZE.size).ljust(8, b"\0"))
            if size < HEADER.size or position + size > length:
                break
            position += size
            if kind in LAST_BOXES:
                end = position
        stream.truncate(end)
