"""Bytes that can be read in parts: a file, a part of one, or memory."""

from __future__ import annotations

import io
import os
from typing import Protocol

from toolchain.checkpoints.limits import FILE_BYTES
from toolchain.definitions.architecture import MOBILENETV2
from toolchain.errors import CheckpointError


class DamagedError(CheckpointError):
    """Content that contradicts itself; the message is about the content only, without the path."""


def check_file_size(size: int) -> None:
    """Check that a file of `size` bytes is not far larger than any checkpoint of this network.

    Raises:
        CheckpointError: It is; the message is about the size only, without the path.
    """
    if size > FILE_BYTES:
        raise CheckpointError(
            f"{size:,} bytes; the published checkpoint has about {MOBILENETV2.checkpoint_bytes:,}",
            hint="Check that this is the right file.",
        )


class Source(Protocol):
    """Readable bytes.

    Attributes:
        size: Number of bytes.
    """

    size: int

    def read(self, start: int, size: int) -> bytearray:
        """Read exactly `size` bytes from `start`.

        Raises:
            DamagedError: The source ends before.
        """


class FileSource:
    """A file by its descriptor, which stays open as long as this is in use.

    Args:
        descriptor: File descriptor of a plain file.
    """

    def __init__(self, descriptor: int) -> None:
        self._stream = io.FileIO(descriptor, closefd=False)
        self.size = os.fstat(descriptor).st_size

    def read(self, start: int, size: int) -> bytearray:
        """See `Source`."""
        _check_range(self, start, size)
        data = bytearray(size)
        view, filled = memoryview(data), 0
        self._stream.seek(start)
        while filled < size:
            count = self._stream.readinto(view[filled:])
            if not count:
                raise DamagedError("the file became shorter while it was read")
            filled += count
        return data


class Slice:
    """A part of another source.

    Args:
        source: The whole.
        start: First byte of the part.
        size: Number of bytes.
    """

    def __init__(self, source: Source, start: int, size: int) -> None:
        _check_range(source, start, size)
        self._source, self._start, self.size = source, start, size

    def open(self) -> Slice:
        """Return itself: it is always open."""
        return self

    def read(self, start: int, size: int) -> bytearray:
        """See `Source`."""
        _check_range(self, start, size)
        return self._source.read(self._start + start, size)


class Memory:
    """Bytes in memory.

    Args:
        data: The bytes.
    """

    def __init__(self, data: bytes | bytearray) -> None:
        self._data, self.size = data, len(data)

    def open(self) -> Memory:
        """Return itself: it is always open."""
        return self

    def read(self, start: int, size: int) -> bytearray:
        """See `Source`."""
        _check_range(self, start, size)
        return bytearray(memoryview(self._data)[start : start + size])


def _check_range(source: Source, start: int, size: int) -> None:
    if start < 0 or size < 0 or start + size > source.size:
        raise DamagedError("it is truncated, or a size in it is wrong")
