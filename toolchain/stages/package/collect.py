"""Collect the content of a package: the files of the build, card, SBOM, sample, and facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from toolchain.package.manifest import Entry, make_entry
from toolchain.stages.package.accepted import AcceptedBuild
from toolchain.stages.package.card import render_card
from toolchain.stages.package.contents import Item, list_build_files
from toolchain.stages.package.ports import PortsByModel, read_ports
from toolchain.stages.package.request import PackageRequest
from toolchain.stages.package.sample import describe_sample, make_sample_files
from toolchain.stages.package.sbom import build_sbom
from toolchain.workspace.atomic import os_errors
from toolchain.workspace.digests import file_digest

CARD, SBOM = "README.md", "sbom.cdx.json"


@dataclass(frozen=True)
class Content:
    """Content of a package.

    Attributes:
        items: The files.
        facts: Entries of the manifest, in addition to the files.
    """

    items: tuple[Item, ...]
    facts: dict[str, Any]

    def describe_files(self) -> tuple[Entry, ...]:
        """Describe the files for the manifest, sorted by path."""
        return tuple(sorted(map(_make_entry, self.items), key=lambda entry: entry.path))


def collect_content(request: PackageRequest, build: AcceptedBuild) -> Content:
    """Collect the files of the build, and create card, SBOM and sample.

    Args:
        request: What to package.
        build: Records of the build.

    Returns:
        The content of the package.

    Raises:
        PackageError: A model has other inputs or outputs than the network.
        WorkspaceError: A file cannot be read.
    """
    ports = {name: read_ports(request.layout.folder / name) for name in build.models}
    items = list_build_files(request, build)
    items += make_sample_files(request, build)
    items.append(Item(CARD, render_card(request, build, ports).encode(), "card"))
    described = [_make_entry(item) for item in items]
    items.append(Item(SBOM, build_sbom(request, build, ports, described), "sbom"))
    return Content(tuple(items), _collect_facts(request, build, ports, items))


def _collect_facts(
    request: PackageRequest, build: AcceptedBuild, ports: PortsByModel, items: list[Item]
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
            "ports": ports,
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
