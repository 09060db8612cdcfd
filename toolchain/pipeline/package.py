"""From a build to its bundle; from a bundle to a verdict on it, or to a layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolchain.catalog.names import fault_of_model_name
from toolchain.errors import UsageError
from toolchain.pipeline.build import alone
from toolchain.pipeline.report import provenance_of
from toolchain.pipeline.request import BuildRequest
from toolchain.progress import Listener, SilentListener
from toolchain.stages.package import PackageRequest, PackageResult, package


@dataclass(frozen=True)
class PackagingRequest:
    """Package what `build` made.  `target`: for the archive.  `key`: a private one, or None."""

    build: BuildRequest
    version: str
    target: Path
    key: Path | None = None


def packaged(request: PackagingRequest, listener: Listener | None = None) -> PackageResult:
    """Package under the lock of the model's folder.

    Raises UsageError for a version that makes no file name, and what `package` raises.
    """
    talk = listener or SilentListener()
    if fault := fault_of_model_name(request.version):
        raise UsageError(f"--version {request.version}: {fault}; expected such as 1.0.0")
    build = request.build
    asked = PackageRequest(
        model=build.model,
        layout=build.layout,
        version=request.version,
        target=request.target,
        provenance=provenance_of(build),
        key=request.key,
    )
    if not build.layout.folder.is_dir():  # the lock would make it
        return package(asked, talk)
    with alone(build.layout.folder, talk):
        return package(asked, talk)
