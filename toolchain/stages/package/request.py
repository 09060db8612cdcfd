"""What to package, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolchain.catalog.records import Model
from toolchain.package.manifest import Manifest
from toolchain.workspace.layout import Layout


@dataclass(frozen=True)
class PackageRequest:
    """`layout`: where the build lies.  `target`: the folder for the archive.

    `model`: the model.yml that it was built by.  `provenance`: pairs of name and text.
    `key`: a private key (PEM) to sign with, None: not signed.
    """

    model: Model
    layout: Layout
    version: str
    target: Path
    provenance: tuple[tuple[str, str], ...] = ()
    key: Path | None = None


@dataclass(frozen=True)
class PackageResult:
    """`sha256`: of the archive.  `signature`: beside it, None if it was not signed."""

    archive: Path
    sha256: str
    manifest: Manifest
    signature: Path | None
