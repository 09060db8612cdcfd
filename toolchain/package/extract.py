"""Write the files of an archive into a folder of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from toolchain.package.examine import Findings, examine
from toolchain.package.manifest import FILE
from toolchain.workspace.atomic import os_errors


def extract(archive: Path, folder: Path) -> Findings:
    """Write every declared file, and the manifest, below `folder`; which is made and must be new.

    Call `examine` first, and nothing else than these files is ever written.  Raises what it raises;
    WorkspaceError for a full disk and the like.
    """

    @contextlib.contextmanager
    def sink(name: str) -> Iterator[IO[bytes]]:
        place = folder / name
        with os_errors(place, "write"):
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("xb") as stream:
                yield stream

    with os_errors(folder, "write"):
        folder.mkdir(parents=True)
    found = examine(archive, sink)
    with os_errors(folder, "write"):
        (folder / FILE).write_bytes(found.manifest.dumped())
    return found
