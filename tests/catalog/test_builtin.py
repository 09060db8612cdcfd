"""Files that ship with the toolchain."""

from __future__ import annotations

import pytest

from toolchain.catalog.builtin import DATA, data_file
from toolchain.errors import CatalogError


def test_package_data_stays_in_its_folder() -> None:
    """A path that would leave the package's data is refused."""
    assert data_file("a/b.bin") == DATA / "a" / "b.bin"
    for path in ("../reader.py", "/etc/passwd", "", "a/../../b"):
        with pytest.raises(CatalogError):
            data_file(path)
