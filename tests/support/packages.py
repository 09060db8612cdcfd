"""Small packages that need no model, and helpers that damage them."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

from toolchain.package import archive
from toolchain.package.archive import write_archive
from toolchain.package.manifest import Manifest, make_entry

FILES: dict[str, bytes] = {
    "README.md": b"# a card\n",
    "FP16/m.xml": b"<net/>\n",
    "FP16/m.bin": bytes(range(256)) * 8,
    "FP32/m.xml": b"<net />\n",
    "FP32/m.bin": bytes(range(256)) * 16,
    "m.onnx": b"onnx",
    "empty": b"",
}
ROLES = {".xml": "ir", ".bin": "ir", ".onnx": "onnx"}
ROOT = "m-1.0"
MANIFEST = Manifest(
    "m",
    "1.0",
    "plain",
    tuple(
        make_entry(path, FILES[path], ROLES.get(Path(path).suffix, "other"))
        for path in sorted(FILES)
    ),
    {"a": [1]},
)


def write_small(target: Path) -> Path:
    """Write a valid archive."""
    write_archive(MANIFEST, FILES, target)
    return target


def write_folder(target: Path) -> Path:
    """Write the same package, unpacked."""
    archive.write_folder(MANIFEST, FILES, target)
    return target


def read_members(path: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Read every entry of a valid archive with its content."""
    with tarfile.open(path) as tar:
        return [(info, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]


def repack(target: Path, entries: list[tuple[tarfile.TarInfo, bytes]], tail: bytes = b"") -> Path:
    """Write an archive of exactly these entries, followed by `tail`."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    target.write_bytes(gzip.compress(raw.getvalue() + tail, 6, mtime=0))
    return target


def entry(name: str, data: bytes = b"x", kind: bytes = tarfile.REGTYPE, link: str = "") -> tuple:
    """Make an entry with exactly this name."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = len(data) if kind in (tarfile.REGTYPE, tarfile.AREGTYPE) else 0
    return info, data if info.size else b""


def read_contents(folder: Path) -> dict[str, bytes]:
    """Read every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def flip_bit(data: bytes, bit: int) -> bytes:
    """Return `data` with one bit changed."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
