"""Files that ship with the toolchain: its model.yml, package data, licences, published accuracy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from toolchain.catalog.names import find_path_fault
from toolchain.catalog.yaml_nodes import one_line
from toolchain.errors import CatalogError

PACKAGE = Path(__file__).resolve().parents[1]
DATA = PACKAGE / "data"


@dataclass(frozen=True)
class Licence:
    """A licence.

    Attributes:
        spdx: Its SPDX identifier.
        covers: What it applies to.
        file: Its text.
    """

    spdx: str
    covers: str
    file: Path


@dataclass(frozen=True)
class Published:
    """The published accuracy table of the model.

    Attributes:
        data: Name of the data set.
        original: Values of the original by metric, x1000 (GRAD: /1000).
        converted: Values of the converted model by metric, in the same scale.
    """

    data: str
    original: dict[str, float]
    converted: dict[str, float]

    def as_record(self) -> dict[str, object]:
        """Return the table for a JSON record."""
        return {
            "about": "figures of Open Model Zoo for the published weights, on another data set "
            f"({self.data}); not measured here",
            "rows": {"original (PyTorch)": self.original, "converted (IR)": self.converted},
        }


def builtin_config() -> Path:
    """Return the path of the model.yml that ships with the toolchain.

    Raises:
        CatalogError: It is neither installed nor at the top of a checkout.
    """
    name = "model.yml"
    hint = "Install the toolchain again, or give a model.yml with --config."
    return _find("the toolchain's model.yml", DATA / name, PACKAGE.parent / name, hint=hint)


def data_file(path: str) -> Path:
    """Return the path of a file in `toolchain/data`, which need not exist.

    Raises:
        CatalogError: The path leaves `toolchain/data`, also by a symbolic link.
    """
    target = DATA / path
    fault = find_path_fault(path)
    if not fault and not target.resolve().is_relative_to(DATA.resolve()):
        fault = "leaves the folder"
    if fault:
        raise CatalogError(one_line(f"package data {path!r} {fault}"))
    return target


def find_licences() -> tuple[Licence, ...]:
    """Find the licences of the model and of the toolchain, in this order.

    Raises:
        CatalogError: A text is missing.
    """
    installed, checkout = DATA / "licences", PACKAGE.parent
    mit, apache = "BackgroundMattingV2-MIT.txt", "Apache-2.0.txt"
    hint = "Install the toolchain again."
    return (
        Licence(
            "MIT",
            "the model",
            _find("the model's licence", installed / mit, checkout / "licenses" / mit, hint=hint),
        ),
        Licence(
            "Apache-2.0",
            "the toolchain, its sample and its demonstration weights",
            _find("the toolchain's licence", installed / apache, checkout / "LICENSE", hint=hint),
        ),
    )


def read_published_accuracy() -> Published:
    """Read the published accuracy of background-matting-mobilenetv2."""
    found = json.loads((DATA / "published.json").read_text(encoding="utf-8"))
    return Published(found["data"], found["original"]["figures"], found["converted"]["figures"])


def _find(what: str, *candidates: Path, hint: str) -> Path:
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise CatalogError(f"{candidates[0]}: {what} was not found", hint=hint)
