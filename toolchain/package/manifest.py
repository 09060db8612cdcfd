"""manifest.json: name, size and digests of every file in a package."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from toolchain.catalog.names import MODEL_NAME, find_path_fault, fold
from toolchain.catalog.records import Digest
from toolchain.definitions.ports import INPUTS, OUTPUTS
from toolchain.errors import PackageFormatError
from toolchain.printable import printable

FILE = "manifest.json"
SIGNATURE = "model.sig"  # where model-signing's own tool puts it
SCHEMA = 1
WHERE_LENGTH, FAULT_LENGTH = 1000, 400  # characters in a message
SIZE_LIMIT = 4 << 20  # bytes of a manifest
BYTES_LIMIT = 32 << 30  # bytes that it may declare
FILES_LIMIT = 10_000
SEAL = "manifest_sha256"
GIT_ATTRIBUTES = ".gitattributes"  # the only hidden file; the layout for the Hub adds it
Json = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """A file in a package.

    Attributes:
        path: Path below the package's folder, with `/`.
        size: Size in bytes.
        sha256: Digest in hexadecimal digits.
        sha384: Digest in hexadecimal digits.
        role: Purpose of the file.
    """

    path: str
    size: int
    sha256: str
    sha384: str
    role: str


@dataclass(frozen=True)
class Manifest:
    """The content of manifest.json.

    Attributes:
        name: Name of the model.
        version: Version of the package.
        layout: Name of the layout, which decides where the files are.
        files: The files, except the manifest itself and a signature.
        facts: All other keys, as JSON.
    """

    name: str
    version: str
    layout: str
    files: tuple[Entry, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def root(self) -> str:
        """Name of the folder inside the archive."""
        return f"{self.name}-{self.version}"

    @property
    def size(self) -> int:
        """Total size of the files in bytes."""
        return sum(entry.size for entry in self.files)

    def by_path(self) -> dict[str, Entry]:
        """Map each path to its file."""
        return {entry.path: entry for entry in self.files}

    def with_role(self, role: str) -> tuple[Entry, ...]:
        """Select the files of `role`."""
        return tuple(entry for entry in self.files if entry.role == role)

    def to_bytes(self) -> bytes:
        """Serialize it; `parse_manifest` accepts no other bytes for the same content."""
        return _serialize(
            {
                "schema": SCHEMA,
                "name": self.name,
                "version": self.version,
                "layout": self.layout,
                **self.facts,
                "files": [asdict(entry) for entry in self.files],
            }
        )


def make_entry(path: str, data: bytes, role: str) -> Entry:
    """Describe a file with the content `data`."""
    digests = hashlib.sha256(data).hexdigest(), hashlib.sha384(data).hexdigest()
    return Entry(path, len(data), *digests, role)


def parse_manifest(data: bytes, where: str) -> Manifest:
    """Read a manifest of unknown origin.

    Args:
        data: Content of the file.
        where: Where it was found, for the message.

    Returns:
        The manifest: names are safe and distinct, sizes and digests well-formed.

    Raises:
        PackageFormatError: `data` is anything but the bytes that `Manifest.to_bytes` returns for a
            valid manifest; any flipped bit is noticed.
    """
    try:
        content = json.loads(data)
        fault = _find_fault(content)
        if not fault and _serialize(_drop_seal(content)) != data:
            fault = f"it was changed: its {SEAL} or its format does not match its content"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        fault = f"{type(error).__name__}: {error}"
    if fault:
        raise PackageFormatError(
            f"{printable(where, WHERE_LENGTH)}: not a valid manifest: "
            f"{printable(fault, FAULT_LENGTH)}",
            kept="Nothing was written.",
            hint="Get the package again from its publisher.",
        )
    known = ("schema", "name", "version", "layout", "files", SEAL)
    return Manifest(
        content["name"],
        content["version"],
        content["layout"],
        tuple(Entry(**item) for item in content["files"]),
        {key: value for key, value in content.items() if key not in known},
    )


def _find_fault(content: Json) -> str:
    if content["schema"] != SCHEMA:
        return f"schema {printable(str(content['schema']))}, expected {SCHEMA}"
    for key in ("name", "version"):
        if not MODEL_NAME.fullmatch(content[key]) or find_path_fault(content[key]):
            return f"invalid {key} {printable(content[key])!r}"
    if not isinstance(content["layout"], str):
        return "its layout is not a string"
    if len(content["files"]) > FILES_LIMIT:
        return f"it lists {len(content['files']):,} files; the limit is {FILES_LIMIT:,}"
    files = [Entry(**item) for item in content["files"]]
    return find_fault_of_files(files, content["layout"]) or _find_fault_of_facts(
        content, {entry.path for entry in files}
    )


def find_fault_of_files(files: Iterable[Entry], layout: str) -> str:
    """Find what is wrong with the files of a manifest; "" if nothing is.

    Names are safe on every system, no two are the same file on one of them, none is hidden.

    Args:
        files: The files.
        layout: Name of the layout.
    """
    seen: dict[str, str] = {}
    total = 0
    for entry in files:
        if fault := _find_fault_of_entry(entry, layout):
            return fault
        folded = fold(entry.path)
        if folded in seen or folded in (FILE, SIGNATURE):
            return f"duplicate or reserved name {entry.path!r}"
        seen[folded] = entry.path
        total += entry.size
    if total > BYTES_LIMIT:
        return f"it declares {total:,} bytes; the limit is {BYTES_LIMIT:,}"
    for folded, path in seen.items():
        parts = folded.split("/")
        if any("/".join(parts[:count]) in seen for count in range(1, len(parts))):
            return f"{path!r} is below a file"
    return ""


def _find_fault_of_entry(entry: Entry, layout: str) -> str:
    if fault := find_path_fault(entry.path):
        return f"the name {entry.path!r} {fault}"
    is_hidden = any(part.startswith(".") for part in entry.path.split("/"))
    if is_hidden and (entry.path, layout) != (GIT_ATTRIBUTES, "huggingface"):
        return f"the name {entry.path!r} is hidden"
    if type(entry.size) is not int or entry.size < 0 or not isinstance(entry.role, str):
        return f"{entry.path!r} has an invalid size or role"
    Digest("sha256", entry.sha256)
    Digest("sha384", entry.sha384)
    return ""


def _find_fault_of_facts(content: Json, declared: set[str]) -> str:
    """Check the facts that the toolchain reads, if they are present; others are only text."""
    faults = {
        "config": _is_declared(content.get("config", ""), {"", *declared}),
        "parameters": _is_parameters(content.get("parameters", {"ports": {}}), declared),
        "sample": "sample" not in content or _is_sample(content["sample"], declared),
    }
    wrong = [key for key, is_good in faults.items() if not is_good]
    return (
        f"its {wrong[0]} is not well-formed, or names a file that it does not list" if wrong else ""
    )


def _is_parameters(parameters: object, declared: set[str]) -> bool:
    ports = parameters.get("ports") if isinstance(parameters, dict) else None
    return isinstance(ports, dict) and ports.keys() <= declared


def _is_sample(sample: object, declared: set[str]) -> bool:
    if not isinstance(sample, dict):
        return False
    rows = sample.get("expected")
    return (
        _is_ports(sample.get("inputs"), INPUTS, declared)
        and isinstance(rows, list)
        and all(_is_expected(row, declared) for row in rows)
    )


def _is_expected(row: object, declared: set[str]) -> bool:
    return (
        isinstance(row, dict)
        and _is_declared(row.get("ir"), declared)
        and _is_ports(row.get("outputs"), OUTPUTS, declared)
        and isinstance(row.get("precision"), str)
        and isinstance(row.get("different", 0.0), float)
        and 0.0 <= row.get("different", 0.0) <= 1.0
    )


def _is_ports(value: object, ports: Iterable[str], declared: set[str]) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == set(ports)
        and all(_is_declared(path, declared) for path in value.values())
    )


def _is_declared(path: object, declared: set[str]) -> bool:
    return isinstance(path, str) and path in declared


def _drop_seal(content: Json) -> Json:
    return {key: value for key, value in content.items() if key != SEAL}


def _serialize(content: Json) -> bytes:
    seal = hashlib.sha256(_dump(content)).hexdigest()
    return _dump({**content, SEAL: seal})


def _dump(content: Json) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
