"""Choice of the sink for an output path."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolchain.run.sinks import is_folder


@pytest.mark.parametrize(
    ("name", "expected"),
    [("mattes", True), ("version_1.2", True), ("2024.6.0-mattes", True), ("out.gif", False)],
)
def test_a_version_number_is_no_file_format(name: str, expected: bool, tmp_path: Path) -> None:
    """A folder name may end in a version; a suffix that looks like a format is taken as one."""
    assert is_folder(tmp_path / name) == expected
