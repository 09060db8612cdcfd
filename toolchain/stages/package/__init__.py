"""Package: a validated build as one archive that others can check, sign, serve and load."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from toolchain.package.archive import (
    SIGNATURE_SUFFIX,
    Source,
    archive_name,
    write_archive,
)
from toolchain.package.manifest import FILE, Entry, Manifest, entry_of
from toolchain.package.signing import require_key, sign
from toolchain.progress import Listener, SilentListener
from toolchain.stages.package.accepted import Accepted, accepted
from toolchain.stages.package.contents import Item, build_files
from toolchain.stages.package.request import PackageRequest, PackageResult
from toolchain.workspace.atomic import TEMPORARY_SUFFIX, os_errors
from toolchain.workspace.digests import file_digest

__all__ = ["PackageRequest", "PackageResult", "package"]

CARD, SBOM = "README.md", "sbom.cdx.json"
STEPS = 4


def package(request: PackageRequest, listener: Listener | None = None) -> PackageResult:
    """Write `<name>-<version>.tar.gz` into `request.target`, and its signature if there is a key.

    The same build gives the same bytes in any folder, at any time, by any user.  Raises
    PackageError for a build that is not validated, failed, or was changed since; UsageError for a
    key that can't be used; WorkspaceError if the archive can't be written.  An archive that was
    there stays until the new one is whole.
    """
    if request.key is not None:
        require_key(request.key)
    build = accepted(request)
    with (listener or SilentListener()).task("Packaging", STEPS, "steps") as task:
        items = _items(request, build)
        task.reach(1)
        entries = [_entry(item) for item in items]
        manifest = Manifest(
            request.layout.name,
            request.version,
            "plain",
            tuple(sorted(entries, key=lambda entry: entry.path)),
            _facts(request, build, items),
        )
        task.reach(2)
        archive = request.target / archive_name(manifest)
        sources = {item.path: item.source for item in items}
        write_archive(manifest, sources, archive)
        task.reach(3)
        signature = archive.with_name(archive.name + SIGNATURE_SUFFIX)
        if request.key is None:  # one of other bytes would be taken for this one's
            with os_errors(signature, "remove"):
                signature.unlink(missing_ok=True)
        else:
            _sign(manifest, sources, signature, request.key)
        task.reach(4)
    digest = file_digest(archive).value
    return PackageResult(archive, digest, manifest, None if request.key is None else signature)


def _items(request: PackageRequest, build: Accepted) -> list[Item]:
    from toolchain.stages.package.card import card
    from toolchain.stages.package.sample import sample_files
    from toolchain.stages.package.sbom import sbom

    items = build_files(request, build)
    items += sample_files(request, build)
    items.append(Item(CARD, card(request, build).encode(), "card"))
    described = [_entry(item) for item in items]
    items.append(Item(SBOM, sbom(request, build, described), "sbom"))
    return items


def _facts(request: PackageRequest, build: Accepted, items: list[Item]) -> dict[str, Any]:
    from toolchain.stages.package.sample import sample_facts

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
        "sample": sample_facts(build),
    }


def _entry(item: Item) -> Entry:
    if isinstance(item.source, bytes):
        return entry_of(item.path, item.source, item.role)
    with os_errors(item.source, "read"):
        size = item.source.stat().st_size
        sha256 = file_digest(item.source).value
        sha384 = file_digest(item.source, "sha384").value
        return Entry(item.path, size, sha256, sha384, item.role)


def _sign(manifest: Manifest, sources: dict[str, Source], target: Path, key: Path) -> None:
    """Sign the folder that the archive unpacks to."""
    with os_errors(target, "sign"):
        scratch = tempfile.mkdtemp(
            prefix=f".{target.name}.", suffix=TEMPORARY_SUFFIX, dir=target.parent
        )
        try:
            folder = Path(scratch, manifest.root)
            for path, source in {FILE: manifest.dumped(), **sources}.items():
                place = folder / path
                place.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(source, bytes):
                    place.write_bytes(source)
                else:
                    shutil.copyfile(source, place)
            sign(folder, key, target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
