"""Unpack a package after verifying it."""

from __future__ import annotations

from pathlib import Path

from toolchain.errors import PackageFormatError, WorkspaceError
from toolchain.package.archive import write_folder
from toolchain.package.extract import extract
from toolchain.package.inspection import require_intact
from toolchain.package.layouts import plan_layout
from toolchain.package.manifest import SIGNATURE
from toolchain.package.signing import (
    read_signature,
    require_key,
    sign_folder,
    signature_path,
    verify_signature,
)
from toolchain.printable import printable
from toolchain.progress import Listener, SilentListener
from toolchain.stages.unpack.request import UnpackRequest, UnpackResult
from toolchain.workspace.atomic import os_errors
from toolchain.workspace.unpacking import staging_folder


def unpack(request: UnpackRequest, listener: Listener | None = None) -> UnpackResult:
    """Verify a package, then write it to `request.target`: all files, or none.

    Args:
        request: What to unpack.
        listener: Receiver of progress reports.

    Returns:
        The unpacked package.

    Raises:
        PackageFormatError: The package is damaged, unsafe or differs from its manifest.
        SignatureError: The signature does not exist or is not valid.
        UsageError: The package does not contain the precision, or a key cannot be used.
        WorkspaceError: The target is not empty or cannot be written.
    """
    if request.sign is not None:
        require_key(request.sign)
    _require_empty(request.target)
    with (listener or SilentListener()).task("Unpacking", 3, "steps") as task:
        target = request.target.absolute()
        with staging_folder(target) as staging:
            folder = staging / "package"
            found = extract(request.package, folder)
            require_intact(request.package, found)
            if found.manifest.layout != "plain":
                raise PackageFormatError(
                    f"{request.package}: has the layout {printable(found.manifest.layout)}, "
                    "expected plain",
                    kept="Nothing was written.",
                    hint="Unpack the archive, or a folder that was unpacked from it as plain.",
                )
            plan = plan_layout(found.manifest, request.layout, request.precision)
            task.reach(1)
            signature = _read_signature(request, folder)
            task.reach(2)
            result = staging / "result"
            with os_errors(target, "write"):
                sources = {
                    path: source if isinstance(source, bytes) else folder / source
                    for path, source in plan.sources.items()
                }
                write_folder(plan.manifest, sources, result, move=True)
                if signature is not None and request.sign is None and request.layout == "plain":
                    (result / SIGNATURE).write_bytes(signature)
            if request.sign is not None:
                sign_folder(result, request.sign, result / SIGNATURE)
            with os_errors(target, "write"):
                if target.is_dir():
                    target.rmdir()  # empty; a rename replaces nothing else on every system
                result.rename(target)
            task.reach(3)
    signed = request.target / SIGNATURE
    return UnpackResult(request.target, plan.manifest, signed if signed.is_file() else None)


def _read_signature(request: UnpackRequest, folder: Path) -> bytes | None:
    """Read the package's signature, verified if there is a key; None if there is none."""
    path = signature_path(request.package, request.signature)
    if request.key is not None:
        return verify_signature(folder, request.key, path)
    return read_signature(path) if path.is_file() else None


def _require_empty(target: Path) -> None:
    with os_errors(target, "read"):
        if target.is_symlink() or (
            target.exists() and (not target.is_dir() or any(target.iterdir()))
        ):
            raise WorkspaceError(
                f"{target}: exists and is not an empty folder",
                kept="Nothing was written.",
                hint="Name a new folder with --output.",
            )
