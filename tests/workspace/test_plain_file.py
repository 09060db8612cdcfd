"""Plain files: opened; anything else is refused at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from toolchain.workspace.plain_file import check_plain_file, open_plain_file


def test_a_plain_file_is_opened_and_closed(tmp_path: Path) -> None:
    """Also through a link."""
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_bytes(b"content")
    link.symlink_to(path)
    check_plain_file(link)
    with open_plain_file(link) as descriptor:
        assert os.read(descriptor, 100) == b"content"
    with pytest.raises(OSError, match=r"[Bb]ad file"):
        os.fstat(descriptor)


@pytest.mark.skipif(sys.platform == "win32", reason="needs pipes and devices")
def test_anything_else_is_named(tmp_path: Path) -> None:
    """A pipe would wait for a writer for ever, a device would never end."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, name in ((tmp_path, "folder"), (pipe, "pipe"), (Path("/dev/zero"), "device")):
        for check in (check_plain_file, lambda path: open_plain_file(path).__enter__()):
            with pytest.raises(OSError, match=f"not a plain file, but a.*{name}") as caught:
                check(path)
            assert caught.value.strerror
