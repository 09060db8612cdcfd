"""The files of a build that go into its package: names and roles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolchain.catalog.builtin import find_licences
from toolchain.package.archive import Source
from toolchain.stages.package.accepted import AcceptedBuild
from toolchain.stages.package.request import PackageRequest

LICENCE_NAMES = ("LICENSE", "LICENSE.toolchain")
QUANTIZATION = "quantization.json"


@dataclass(frozen=True)
class Item:
    """A file of the package.

    Attributes:
        path: Path in the package.
        source: A file, or its content.
        role: Purpose of the file.
    """

    path: str
    source: Source
    role: str


def list_build_files(request: PackageRequest, build: AcceptedBuild) -> list[Item]:
    """List models, records, model.yml and licences."""
    layout = request.layout
    items = [Item(layout.onnx.name, layout.onnx, "onnx")]
    for precision in build.precisions:
        xml = layout.ir(precision)
        items += [_item_below(layout.folder, path, "ir") for path in (xml, xml.with_suffix(".bin"))]
        record = xml.with_name(QUANTIZATION)
        if record.is_file():
            items.append(_item_below(layout.folder, record, "quantization"))
    items.append(_item_below(layout.folder, layout.validation, "validation"))
    if build.evaluation is not None:
        tables = (layout.evaluation.with_suffix(suffix) for suffix in (".json", ".csv", ".md"))
        items += [
            _item_below(layout.folder, path, "evaluation") for path in tables if path.is_file()
        ]
    items += [
        _item_below(layout.folder, path, "report") for path in (layout.report, layout.report_text)
    ]
    items.append(Item("model.yml", request.model.config_path, "config"))
    items += [
        Item(name, licence.file, "license")
        for name, licence in zip(LICENCE_NAMES, find_licences(), strict=True)
    ]
    return items


def _item_below(folder: Path, path: Path, role: str) -> Item:
    return Item(path.relative_to(folder).as_posix(), path, role)
