"""Read a package of unknown origin: its manifest first, then each member, checked against it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from toolchain.catalog.names import fold
from toolchain.errors import PackageFormatError
from toolchain.package.manifest import FILE, SIZE_LIMIT, Manifest, parse_manifest
from toolchain.workspace.unpacking import Member, UntrustedArchive

UNDECLARED_LIMIT = 1 << 20  # bytes of all undeclared files; within it they are listed by name
HEADER_BYTES = 4096  # per entry: its header, a long name, padding


@contextlib.contextmanager
def open_package(path: Path) -> Iterator[tuple[Manifest, Iterator[Member]]]:
    """Open a package's archive and read its manifest.

    Never decompresses more bytes than the manifest declares, plus a small margin.

    Args:
        path: The archive.

    Yields:
        The manifest and the other members, in the order of the archive, with paths below the
        package's folder.

    Raises:
        PackageFormatError: The archive is damaged or unsafe: a name outside of the package's
            folder, a link, device or folder, a duplicate entry, more bytes than declared.  Also
            raised while the members are read.
        WorkspaceError: The archive cannot be opened.
    """
    limit = SIZE_LIMIT + 16 * HEADER_BYTES
    with UntrustedArchive(path, "gztar", PackageFormatError, limit) as archive:
        members = archive.members()
        first = next(members, None)
        if (
            first is None
            or first.pieces is None
            or first.size > SIZE_LIMIT
            or not first.name.endswith(f"/{FILE}")
        ):
            raise archive.refuse(f"its first entry is not {FILE}")
        manifest = parse_manifest(b"".join(first.pieces), f"{path}: {first.name}")
        if first.name != f"{manifest.root}/{FILE}":
            raise archive.refuse(f"its manifest is at {first.name!r}")
        headers = HEADER_BYTES * (len(manifest.files) + 1)
        archive.raise_limit(manifest.size + headers + 2 * UNDECLARED_LIMIT)
        yield manifest, _check_members(archive, members, manifest)


def _check_members(
    archive: UntrustedArchive, members: Iterator[Member], manifest: Manifest
) -> Iterator[Member]:
    prefix = f"{manifest.root}/"
    declared = {entry.path: entry.size for entry in manifest.files}
    seen = {FILE}
    undeclared = 0
    for member in members:
        archive.check_name(member.name)
        name = member.name.removeprefix(prefix)
        if name == member.name:
            raise archive.refuse(f"the name {name!r} is not below {prefix}")
        if member.pieces is None:
            raise archive.refuse(f"{name!r} is a folder, not a plain file")
        if fold(name) in seen:
            raise archive.refuse(f"duplicate entry {name!r}")
        seen.add(fold(name))
        expected = declared.get(name, 0)
        undeclared += max(0, member.size - expected)
        if undeclared > UNDECLARED_LIMIT:
            raise archive.refuse(
                f"{name!r} has {member.size:,} bytes, the manifest declares {expected:,}"
            )
        yield member._replace(name=name)
    archive.check_end()
