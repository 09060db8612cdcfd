"""Extract the files of a package's archive."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from toolchain.package.inspection import Findings, inspect_package
from toolchain.package.manifest import FILE
from toolchain.workspace.atomic import os_errors
from toolchain.workspace.unpacking import create_below


def extract(archive: Path, folder: Path) -> Findings:
    """Write the manifest and every declared file of `archive` below `folder`, and nothing else.

    Call `inspect_package` first: a damaged archive is noticed only after some files were written.

    Args:
        archive: The archive.
        folder: A folder that does not exist yet.

    Returns:
        Differences from the manifest.

    Raises:
        PackageFormatError: The archive is damaged or unsafe.
        WorkspaceError: A file cannot be written.
    """
    with os_errors(folder, "write"):
        folder.mkdir(parents=True)
        found = inspect_package(archive, partial(create_below, folder))
        (folder / FILE).write_bytes(found.manifest.to_bytes())
    return found
