"""Package the result of a build."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolchain.catalog.names import find_name_fault
from toolchain.errors import UsageError
from toolchain.pipeline.build import lock_folder
from toolchain.pipeline.report import describe_provenance
from toolchain.pipeline.request import BuildRequest
from toolchain.progress import Listener, SilentListener
from toolchain.stages.package.package import package
from toolchain.stages.package.request import PackageRequest, PackageResult


@dataclass(frozen=True)
class PackagingRequest:
    """What to package.

    Attributes:
        build: The build.
        version: Version of the package.
        target: Folder for the archive.
        key: Private key (PEM) to sign with; None: not signed.
    """

    build: BuildRequest
    version: str
    target: Path
    key: Path | None = None


def package_build(request: PackagingRequest, listener: Listener | None = None) -> PackageResult:
    """Package a build while its folder is locked.

    Args:
        request: What to package.
        listener: Receiver of progress reports and notes.

    Returns:
        The package.

    Raises:
        UsageError: The version cannot be part of a file name.
        PackageError: The build is not validated, failed, or was changed since.
        WorkspaceError: The archive cannot be written.
    """
    listener = listener or SilentListener()
    if fault := find_name_fault(request.version):
        raise UsageError(f"--version {request.version}: {fault}; expected such as 1.0.0")
    build = request.build
    stage_request = PackageRequest(
        model=build.model,
        layout=build.layout,
        version=request.version,
        target=request.target,
        provenance=describe_provenance(build),
        key=request.key,
    )
    if not build.layout.folder.is_dir():  # the lock would create it
        return package(stage_request, listener)
    with lock_folder(build.layout.folder, listener):
        return package(stage_request, listener)
