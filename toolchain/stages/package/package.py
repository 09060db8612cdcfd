"""Package a validated build as one archive."""

from __future__ import annotations

from toolchain.package.archive import SIGNATURE_SUFFIX, archive_name, write_archive, write_folder
from toolchain.package.manifest import Manifest
from toolchain.package.signing import require_key, sign_folder
from toolchain.progress import Listener, SilentListener
from toolchain.stages.package.accepted import load_accepted_build
from toolchain.stages.package.request import PackageRequest, PackageResult
from toolchain.workspace.atomic import os_errors
from toolchain.workspace.digests import file_digest
from toolchain.workspace.unpacking import staging_folder

STEPS = 4


def package(request: PackageRequest, listener: Listener | None = None) -> PackageResult:
    """Write `<name>-<version>.tar.gz` into `request.target`, and its signature if there is a key.

    The same build gives the same bytes in any folder, at any time, for any user.  An existing
    archive is replaced only by a complete one.

    Args:
        request: What to package.
        listener: Receiver of progress reports.

    Returns:
        The archive and its manifest.

    Raises:
        PackageError: The build is not validated, failed, or was changed since.
        UsageError: The key cannot be used.
        WorkspaceError: The archive cannot be written.
    """
    if request.key is not None:
        require_key(request.key)
    build = load_accepted_build(request)
    # Loads PyTorch, OpenVINO and ONNX, which a refusal does not need.
    from toolchain.stages.package.collect import collect_content

    with (listener or SilentListener()).task("Packaging", STEPS, "steps") as task:
        content = collect_content(request, build)
        task.reach(1)
        manifest = Manifest(
            request.layout.name, request.version, "plain", content.describe_files(), content.facts
        )
        task.reach(2)
        archive = request.target / archive_name(manifest)
        sources = {item.path: item.source for item in content.items}
        write_archive(manifest, sources, archive)
        task.reach(3)
        signature = archive.with_name(archive.name + SIGNATURE_SUFFIX)
        if request.key is None:  # an old signature would not match the new archive
            with os_errors(signature, "remove"):
                signature.unlink(missing_ok=True)
        else:
            with staging_folder(signature) as staging:
                folder = staging / manifest.root
                with os_errors(signature, "sign"):
                    write_folder(manifest, sources, folder)
                sign_folder(folder, request.key, signature)
        task.reach(STEPS)
    digest = file_digest(archive).value
    return PackageResult(archive, digest, manifest, None if request.key is None else signature)
