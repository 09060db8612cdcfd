"""Unpack: a bundle into the layout that a server or tool looks for, after it was verified."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from toolchain.errors import BundleError, WorkspaceError
from toolchain.package.examine import examine, require_whole
from toolchain.package.extract import extract
from toolchain.package.layouts import Layout, laid_out
from toolchain.package.manifest import FILE, SIGNATURE, Manifest
from toolchain.package.signing import require_key, sign, signature_of, verify
from toolchain.progress import Listener, SilentListener
from toolchain.workspace.atomic import TEMPORARY_SUFFIX, os_errors


@dataclass(frozen=True)
class UnpackRequest:
    """`bundle`: an archive, or the folder of a plain one.  `target`: a folder, new or empty.

    `precision`: see `laid_out`.  `key`, `signature`: as for the verification.  `sign`: a private
    key to sign what is laid out, None: a signature that was there stays with the plain layout.
    """

    bundle: Path
    target: Path
    layout: Layout = "plain"
    precision: str | None = None
    key: Path | None = None
    signature: Path | None = None
    sign: Path | None = None


@dataclass(frozen=True)
class UnpackResult:
    """`manifest`: of what lies in `target` now."""

    target: Path
    manifest: Manifest
    signature: Path | None


def unpack(request: UnpackRequest, listener: Listener | None = None) -> UnpackResult:
    """Verify all of the bundle, then write `request.target`, whole or not at all.

    Raises BundleError, having written nothing, for a bundle that is not what its manifest says;
    SignatureError likewise where a key was given; UsageError for a precision that it does not
    hold; WorkspaceError for a target that is not empty or can't be written.
    """
    if request.sign is not None:
        require_key(request.sign)
    _require_room(request.target)
    with (listener or SilentListener()).task("Unpacking", 3, "steps") as task:
        found = examine(request.bundle)
        require_whole(request.bundle, found)
        if found.manifest.layout != "plain":
            raise BundleError(
                f"{request.bundle}: is laid out for {found.manifest.layout}, expected plain",
                kept="Nothing was written.",
                hint="Unpack the archive, or a folder that was unpacked from it as plain.",
            )
        out = laid_out(found.manifest, request.layout, request.precision)
        task.reach(1)
        target = request.target.absolute()
        with os_errors(target, "write"):
            target.parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(
                tempfile.mkdtemp(
                    prefix=f".{target.name}.", suffix=TEMPORARY_SUFFIX, dir=target.parent
                )
            )
        try:
            folder = _plain(request, scratch / found.manifest.root)
            task.reach(2)
            signature = signature_of(request.bundle, request.signature)
            if request.key is not None:
                verify(folder, request.key, signature)
            laid = scratch / "laid"
            with os_errors(target, "write"):
                _lay(folder, laid, out.sources, out.manifest)
                keeps = request.sign is None and request.layout == "plain"
                if keeps and signature.is_file():
                    shutil.copyfile(signature, laid / SIGNATURE)
            if request.sign is not None:
                sign(laid, request.sign, laid / SIGNATURE)
            with os_errors(target, "write"):
                if target.is_dir():
                    target.rmdir()  # it is empty; nothing else can be renamed over
                laid.rename(target)
            task.reach(3)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    signed = request.target / SIGNATURE
    return UnpackResult(request.target, out.manifest, signed if signed.is_file() else None)


def _require_room(target: Path) -> None:
    with os_errors(target, "read"):
        if target.is_symlink() or (
            target.exists() and (not target.is_dir() or any(target.iterdir()))
        ):
            raise WorkspaceError(
                f"{target}: is there and not an empty folder",
                kept="Nothing was written.",
                hint="Name a new folder with --output.",
            )


def _plain(request: UnpackRequest, folder: Path) -> Path:
    """The plain files in a folder, each as the manifest says."""
    if request.bundle.is_dir():
        return request.bundle
    require_whole(request.bundle, extract(request.bundle, folder))
    return folder


def _lay(folder: Path, laid: Path, sources: dict[str, str | bytes], manifest: Manifest) -> None:
    for path, source in {**sources, FILE: manifest.dumped()}.items():
        place = laid / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, bytes):
            place.write_bytes(source)
        else:
            shutil.copyfile(folder / source, place)
