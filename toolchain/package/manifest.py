"""manifest.json: what a bundle holds, to the last byte."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from toolchain.catalog.names import MODEL_NAME, fault_of_path
from toolchain.catalog.records import Digest
from toolchain.errors import BundleError

FILE = "manifest.json"
SIGNATURE = "model.sig"  # where model-signing's own tool puts it
SCHEMA = 1
SIZE_LIMIT = 4 << 20  # bytes of a manifest
BYTES_LIMIT = 32 << 30  # bytes that it may declare
SEAL = "manifest_sha256"
Json = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One file.  `path`: below the bundle's folder, with `/`.  `size`: bytes.

    `sha256`, `sha384`: hexadecimal digits.  `role`: what it is there for.
    """

    path: str
    size: int
    sha256: str
    sha384: str
    role: str


@dataclass(frozen=True)
class Manifest:
    """`layout`: how the files are placed.  `facts`: everything else that it tells, as JSON."""

    name: str
    version: str
    layout: str
    files: tuple[Entry, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def root(self) -> str:
        """The folder inside the archive."""
        return f"{self.name}-{self.version}"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files)

    def by_path(self) -> dict[str, Entry]:
        """The files by their paths."""
        return {entry.path: entry for entry in self.files}

    def of_role(self, role: str) -> tuple[Entry, ...]:
        """The files of a role."""
        return tuple(entry for entry in self.files if entry.role == role)

    def dumped(self) -> bytes:
        """The file's bytes: `parsed` takes these and no others for the same content."""
        return _dumped(self._content())

    def _content(self) -> Json:
        return {
            "schema": SCHEMA,
            "name": self.name,
            "version": self.version,
            "layout": self.layout,
            **self.facts,
            "files": [asdict(entry) for entry in self.files],
        }


def entry_of(path: str, data: bytes, role: str) -> Entry:
    """The entry of a file of these bytes."""
    sums = hashlib.sha256(data).hexdigest(), hashlib.sha384(data).hexdigest()
    return Entry(path, len(data), *sums, role)


def parsed(data: bytes, where: str) -> Manifest:
    """The manifest in `data`; `where` it was found stands in the message.

    Raises BundleError for anything but the bytes that `dumped` gives for safe and distinct names,
    sizes and digests: one flipped bit is noticed.
    """
    try:
        content = json.loads(data)
        fault = _fault(content)
        if not fault and _dumped(_unsealed(content)) != data:
            fault = f"it was changed: its {SEAL} or its form is not that of its content"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        fault = f"{type(error).__name__}: {error}"
    if fault:
        raise BundleError(
            f"{where}: can't be trusted as a manifest: {fault}",
            kept="Nothing was written.",
            hint="Fetch the bundle again from whoever made it.",
        )
    known = ("schema", "name", "version", "layout", "files", SEAL)
    return Manifest(
        content["name"],
        content["version"],
        content["layout"],
        tuple(Entry(**item) for item in content["files"]),
        {key: value for key, value in content.items() if key not in known},
    )


def fault_of_files(files: Iterable[Entry]) -> str:
    """What is wrong with the names, sizes or digests of `files`; "" if they are safe."""
    seen: dict[str, str] = {}
    total = 0
    for entry in files:
        if fault := fault_of_path(entry.path):
            return f"{entry.path!r} {fault}"
        folded = entry.path.casefold()
        if folded in seen or folded in (FILE, SIGNATURE):
            return f"{entry.path!r} is there twice, or stands for another file"
        seen[folded] = entry.path
        if type(entry.size) is not int or entry.size < 0 or not isinstance(entry.role, str):
            return f"{entry.path!r} has no proper size or role"
        Digest("sha256", entry.sha256)
        Digest("sha384", entry.sha384)
        total += entry.size
    if total > BYTES_LIMIT:
        return f"it declares {total:,} bytes; the limit is {BYTES_LIMIT:,}"
    for folded, path in seen.items():
        parts = folded.split("/")
        if any("/".join(parts[:count]) in seen for count in range(1, len(parts))):
            return f"{path!r} lies below a file"
    return ""


def _fault(content: Json) -> str:
    if content["schema"] != SCHEMA:
        return f"it is of schema {content['schema']!r}, expected {SCHEMA}"
    for key in ("name", "version"):
        if not MODEL_NAME.fullmatch(content[key]) or fault_of_path(content[key]):
            return f"its {key} {content[key]!r} is no name"
    if not isinstance(content["layout"], str):
        return "its layout is no text"
    return fault_of_files(Entry(**item) for item in content["files"])


def _unsealed(content: Json) -> Json:
    return {key: value for key, value in content.items() if key != SEAL}


def _dumped(content: Json) -> bytes:
    seal = hashlib.sha256(_text(content)).hexdigest()
    return _text({**content, SEAL: seal})


def _text(content: Json) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
