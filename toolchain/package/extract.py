"""Copy the files of a package, archive or folder, into a new folder."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from toolchain.package.inspection import Findings, inspect_package
from toolchain.package.manifest import FILE
from toolchain.workspace.atomic import os_errors
from toolchain.workspace.unpacking import create_below


def extract(package: Path, folder: Path) -> Findings:
    """Write the manifest and every declared file of `package` below `folder`, and nothing else.

    The package is read once: what was compared with the manifest is what was written, also if
    it is changed meanwhile.

    Args:
        package: An archive, or the folder of an unpacked package.
        folder: A folder that does not exist yet.

    Returns:
        Differences from the manifest.  Use the files only if there are none.

    Raises:
        PackageFormatError: The package is damaged or unsafe.
        WorkspaceError: A file cannot be written.
    """
    with os_errors(folder, "write"):
        folder.mkdir(parents=True)
        found = inspect_package(package, partial(create_below, folder))
        (folder / FILE).write_bytes(found.manifest.to_bytes())
    return found
