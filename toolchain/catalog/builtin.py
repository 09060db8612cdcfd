"""What ships with the toolchain: its model.yml and the files of `toolchain/data`."""

from __future__ import annotations

from pathlib import Path

from toolchain.catalog.names import fault_of_path
from toolchain.catalog.positions import one_line
from toolchain.errors import CatalogError

PACKAGE = Path(__file__).resolve().parents[1]
DATA = PACKAGE / "data"


def builtin_config() -> Path:
    """The installed model.yml, or the one at the top of a checkout.  CatalogError if neither is."""
    for candidate in (DATA / "model.yml", PACKAGE.parent / "model.yml"):
        if candidate.is_file():
            return candidate
    raise CatalogError(
        f"{DATA / 'model.yml'}:1:1: is not there; expected the model.yml that ships with the "
        "toolchain",
        hint="Install the toolchain again, or name a model.yml with --config.",
    )


def data_file(path: str) -> Path:
    """Where the file `path` of a PackageSource lies; it need not be there.

    Raises CatalogError for a path that would leave `toolchain/data`, a symbolic link included.
    """
    target = DATA / path
    fault = fault_of_path(path)
    if not fault and not target.resolve().is_relative_to(DATA.resolve()):
        fault = "leads out of it"
    if fault:
        raise CatalogError(one_line(f"package data {path!r} {fault}"))
    return target
