"""Unpack a downloaded archive into its own folder: all of its plain files, or none."""

from __future__ import annotations

from pathlib import Path

from toolchain.errors import DownloadError
from toolchain.workspace.atomic import os_errors
from toolchain.workspace.unpacking import UntrustedArchive, create_below, staging_folder

ENTRIES_LIMIT = 100_000
BYTES_LIMIT = 32 << 30


def unpack(archive: Path, form: str) -> tuple[Path, ...]:
    """Unpack `archive` into the folder that it is in; files of an earlier run are replaced.

    Args:
        archive: File of the archive.
        form: "zip", "tar", "gztar", "bztar" or "xztar".

    Returns:
        The files, in the order of the archive.

    Raises:
        DownloadError: The archive is damaged, too large, or contains a link, a device or a name
            outside of the folder.  Nothing was changed.
        WorkspaceError: A file cannot be written.
    """
    folder = archive.parent
    with staging_folder(archive) as staging, os_errors(archive, "unpack"):
        names = _unpack_into(staging, archive, form)
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).replace(folder / name)
    return tuple(folder / name for name in names)


def _unpack_into(staging: Path, archive: Path, form: str) -> tuple[str, ...]:
    names: dict[str, None] = {}
    with UntrustedArchive(archive, form, DownloadError, BYTES_LIMIT) as opened:
        for count, member in enumerate(opened.members()):
            if count >= ENTRIES_LIMIT:
                raise opened.refuse(f"it has more than {ENTRIES_LIMIT:,} entries")
            name = _normalize(opened, member.name, archive)
            if member.pieces is None or not name:
                continue
            names[name] = None
            (staging / name).unlink(missing_ok=True)  # the last of several entries wins
            with create_below(staging, name) as output:
                output.writelines(member.pieces)
        for name in names:  # a link in the folder must not redirect an entry
            parent = (archive.parent / name).parent
            if not parent.resolve().is_relative_to(archive.parent.resolve()):
                raise opened.refuse(f"{parent} is a link that leads out of the folder")
    return tuple(names)


def _normalize(opened: UntrustedArchive, name: str, archive: Path) -> str:
    """Check `name` and drop its "." parts; "" is the folder itself."""
    plain = name
    if not name.startswith("/"):
        plain = "/".join(part for part in name.split("/") if part not in ("", "."))
    if plain:
        opened.check_name(plain)
    if plain.casefold() == archive.name.casefold():
        raise opened.refuse(f"the entry {name!r} would replace the archive itself")
    return plain
