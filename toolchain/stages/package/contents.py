"""Which files of a build go into its bundle, under which names, for what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolchain.catalog.licences import licences
from toolchain.package.archive import Source
from toolchain.stages.package.accepted import Accepted
from toolchain.stages.package.request import PackageRequest

LICENCE_NAMES = ("LICENSE", "LICENSE.toolchain")
QUANTIZATION = "quantization.json"


@dataclass(frozen=True)
class Item:
    """`path`: in the bundle.  `source`: a file or its bytes."""

    path: str
    source: Source
    role: str


def build_files(request: PackageRequest, build: Accepted) -> list[Item]:
    """Models, records, model.yml and licences."""
    layout = request.layout
    items = [Item(layout.onnx.name, layout.onnx, "onnx")]
    for precision in build.precisions:
        xml = layout.ir(precision)
        items += [_below(layout.folder, path, "ir") for path in (xml, xml.with_suffix(".bin"))]
        record = xml.with_name(QUANTIZATION)
        if record.is_file():
            items.append(_below(layout.folder, record, "quantization"))
    items.append(_below(layout.folder, layout.validation, "validation"))
    if build.evaluation is not None:
        tables = (layout.evaluation.with_suffix(suffix) for suffix in (".json", ".csv", ".md"))
        items += [_below(layout.folder, path, "evaluation") for path in tables if path.is_file()]
    items += [_below(layout.folder, path, "report") for path in (layout.report, layout.report_text)]
    items.append(Item("model.yml", request.model.config_path, "config"))
    items += [
        Item(name, licence.file, "license")
        for name, licence in zip(LICENCE_NAMES, licences(), strict=True)
    ]
    return items


def _below(folder: Path, path: Path, role: str) -> Item:
    return Item(path.relative_to(folder).as_posix(), path, role)
