"""What to unpack, and the result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolchain.package.layouts import Layout
from toolchain.package.manifest import Manifest


@dataclass(frozen=True)
class UnpackRequest:
    """What to unpack.

    Attributes:
        package: An archive, or the folder of one in the plain layout.
        target: Folder to create; it may exist if it is empty.
        layout: Where its files go.
        precision: See `plan_layout`.
        key: Public key of the expected signer; None: the signature is not checked.
        signature: The signature; None: next to the archive, or in the folder.
        sign: Private key to sign the result with.  None: the plain layout keeps the signature of
            the package, other layouts have none.
    """

    package: Path
    target: Path
    layout: Layout = "plain"
    precision: str | None = None
    key: Path | None = None
    signature: Path | None = None
    sign: Path | None = None


@dataclass(frozen=True)
class UnpackResult:
    """An unpacked package.

    Attributes:
        target: The folder.
        manifest: Manifest of the layout.
        signature: The signature in the folder; None if it is not signed.
    """

    target: Path
    manifest: Manifest
    signature: Path | None
