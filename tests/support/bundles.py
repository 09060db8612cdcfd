"""Small bundles that need no model, and ways of making hostile ones."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
from pathlib import Path

from toolchain.package.archive import write_archive
from toolchain.package.manifest import FILE, Manifest, entry_of

FILES = {
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


def manifest_of(files: dict[str, bytes]) -> Manifest:
    entries = (
        entry_of(path, data, ROLES.get(Path(path).suffix, "other")) for path, data in files.items()
    )
    return Manifest("m", "1.0", "plain", tuple(sorted(entries, key=lambda e: e.path)), {"a": [1]})


def write_small(target: Path, files: dict[str, bytes] | None = None) -> Path:
    """A good archive."""
    files = FILES if files is None else files
    write_archive(manifest_of(files), files, target)  # type: ignore[arg-type]
    return target


def write_folder(target: Path, files: dict[str, bytes] | None = None) -> Path:
    """The same, unpacked."""
    files = FILES if files is None else files
    for path, data in {**files, FILE: manifest_of(files).dumped()}.items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_bytes(data)
    return target


def members(archive: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Every entry of a good archive with its content."""
    with tarfile.open(archive) as tar:
        return [(info, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]


def repacked(target: Path, entries: list[tuple[tarfile.TarInfo, bytes]], tail: bytes = b"") -> Path:
    """An archive of these very entries, whatever they are; `tail` follows its end."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    target.write_bytes(gzip.compress(raw.getvalue() + tail, 6, mtime=0))
    return target


def entry(name: str, data: bytes = b"x", kind: bytes = tarfile.REGTYPE, link: str = "") -> tuple:
    """One entry below nothing but its own name."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = len(data) if kind in (tarfile.REGTYPE, tarfile.AREGTYPE) else 0
    return info, data if info.size else b""


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def flipped(data: bytes, bit: int) -> bytes:
    """`data` with one bit of it changed."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def copied(build: Path, target: Path) -> Path:
    """A build's output tree in another place."""
    return Path(shutil.copytree(build, target))
