"""Digests of files, computed while streaming; memory does not grow with the file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from toolchain.catalog.records import Digest, DigestAlgorithm

CHUNK = 1 << 20


def file_digest(path: Path, algorithm: DigestAlgorithm = "sha256") -> Digest:
    """The digest of `path`'s bytes.  Raises OSError if it can't be read."""
    hasher = hashlib.new(algorithm)
    buffer = bytearray(CHUNK)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            hasher.update(view[:count])
    return Digest(algorithm, hasher.hexdigest())
