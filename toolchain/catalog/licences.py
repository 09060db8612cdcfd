"""The licences of what is handed over: their texts and their SPDX names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolchain.catalog.builtin import DATA, PACKAGE
from toolchain.errors import CatalogError


@dataclass(frozen=True)
class Licence:
    """`spdx`: its name there.  `covers`: what it is the licence of.  `file`: its text."""

    spdx: str
    covers: str
    file: Path


def licences() -> tuple[Licence, ...]:
    """The model's, then the toolchain's.  Raises CatalogError if a text is not there."""
    installed, checkout = DATA / "licences", PACKAGE.parent
    name = "BackgroundMattingV2-MIT.txt"
    return (
        Licence("MIT", "the model", _first(installed / name, checkout / "licenses" / name)),
        Licence(
            "Apache-2.0",
            "the toolchain, its sample and its demonstration weights",
            _first(installed / "Apache-2.0.txt", checkout / "LICENSE"),
        ),
    )


def _first(*candidates: Path) -> Path:
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise CatalogError(
        f"{candidates[0]}: is not there; expected the licence that ships with the toolchain",
        hint="Install the toolchain again.",
    )
