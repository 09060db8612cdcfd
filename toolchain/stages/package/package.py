"""Package a validated build as one archive."""

from __future__ import annotations

from typing import Any

from toolchain.package.archive import SIGNATURE_SUFFIX, archive_name, write_archive, write_folder
from toolchain.package.manifest import Entry, Manifest, make_entry
from toolchain.package.signing import require_key, sign_folder
from toolchain.progress import Listener, SilentListener
from toolchain.stages.package.accepted import AcceptedBuild, load_accepted_build
from toolchain.stages.package.card import render_card
from toolchain.stages.package.contents import Item, list_build_files
from toolchain.stages.package.request import PackageRequest, PackageResult
from toolchain.stages.package.sample import describe_sample, make_sample_files
from toolchain.stages.package.sbom import build_sbom
from toolchain.workspace.atomic import os_errors
from toolchain.workspace.digests import file_digest
from toolchain.workspace.unpacking import staging_folder

CARD, SBOM = "README.md", "sbom.cdx.json"
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
    with (listener or SilentListener()).task("Packaging", STEPS, "steps") as task:
        items = _collect_items(request, build)
        task.reach(1)
        entries = sorted((_make_entry(item) for item in items), key=lambda entry: entry.path)
        facts = _collect_facts(request, build, items)
        manifest = Manifest(request.layout.name, request.version, "plain", tuple(entries), facts)
        task.reach(2)
        archive = request.target / archive_name(manifest)
        sources = {item.path: item.source for item in items}
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


def _collect_items(request: PackageRequest, build: AcceptedBuild) -> list[Item]:
    items = list_build_files(request, build)
    items += make_sample_files(request, build)
    items.append(Item(CARD, render_card(request, build).encode(), "card"))
    described = [_make_entry(item) for item in items]
    items.append(Item(SBOM, build_sbom(request, build, described), "sbom"))
    return items


def _collect_facts(
    request: PackageRequest, build: AcceptedBuild, items: list[Item]
) -> dict[str, Any]:
    validation, facts = build.validation, build.facts
    return {
        "task": request.model.task_type,
        "license": request.model.license_url,
        "source": {
            "weights": facts["weights"],
            "weights_are": facts["weights_are"],
            "checkpoint": facts["checkpoint"],
            "sha384": facts["checkpoint_sha384"],
            "provenance": dict(request.provenance),
        },
        "config": next(item.path for item in items if item.role == "config"),
        "parameters": {
            "export": validation["settings"],
            "ir": request.model.model_optimizer_args,
            "ports": build.ports,
        },
        "tools": {"toolchain": facts["toolchain"], **validation["tools"]},
        "sample": describe_sample(build),
    }


def _make_entry(item: Item) -> Entry:
    if isinstance(item.source, bytes):
        return make_entry(item.path, item.source, item.role)
    with os_errors(item.source, "read"):
        size = item.source.stat().st_size
        sha256 = file_digest(item.source).value
        sha384 = file_digest(item.source, "sha384").value
        return Entry(item.path, size, sha256, sha384, item.role)
