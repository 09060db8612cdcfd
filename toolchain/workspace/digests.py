"""Digests of files, computed while reading; memory does not grow with the file size."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from toolchain.catalog.records import Digest, DigestAlgorithm
from toolchain.workspace.plain_file import check_plain_file

CHUNK = 1 << 20
Digests = dict[DigestAlgorithm, Digest]


def file_digest(path: Path, algorithm: DigestAlgorithm = "sha256") -> Digest:
    """Compute the digest of a file.

    Raises:
        OSError: The file cannot be read.
    """
    return file_digests(path, (algorithm,))[algorithm]


def file_digests(path: Path, algorithms: Iterable[DigestAlgorithm]) -> Digests:
    """Compute several digests of a file while reading it once.

    Raises:
        OSError: The file cannot be read.
    """
    check_plain_file(path)  # a named pipe would be waited for, a device read without end
    hashers = {name: hashlib.new(name) for name in algorithms}
    buffer = bytearray(CHUNK)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            for hasher in hashers.values():
                hasher.update(view[:count])
    return {name: Digest(name, hasher.hexdigest()) for name, hasher in hashers.items()}


def digests_by_name(paths: Iterable[Path], folder: Path) -> dict[str, str]:
    """Compute sha256 digests for a JSON record.

    Args:
        paths: The files.
        folder: Files in this folder are named by their relative path, others by their name.

    Returns:
        Digests as "sha256:..." by file name.
    """
    return {
        path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name: str(
            file_digest(path)
        )
        for path in paths
    }
