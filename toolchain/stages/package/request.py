"""What to package, and the result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolchain.catalog.records import Model
from toolchain.package.manifest import Manifest
from toolchain.workspace.layout import Layout


@dataclass(frozen=True)
class PackageRequest:
    """What to package.

    Attributes:
        model: The model.yml of the build.
        layout: Where the build is.
        version: Version of the package.
        target: Folder for the archive.
        provenance: Pairs of name and text about model and weights.
        key: Private key (PEM) to sign with; None: not signed.
    """

    model: Model
    layout: Layout
    version: str
    target: Path
    provenance: tuple[tuple[str, str], ...] = ()
    key: Path | None = None


@dataclass(frozen=True)
class PackageResult:
    """A package.

    Attributes:
        archive: The archive.
        sha256: Digest of the archive.
        manifest: Its manifest.
        signature: The signature next to the archive; None if it is not signed.
    """

    archive: Path
    sha256: str
    manifest: Manifest
    signature: Path | None
