"""Layouts of a package: the places where servers and tools look for its files.

plain        as in the archive
ovms         config.json, <name>/1/<name>.xml .bin: OpenVINO Model Server's repository
huggingface  README.md, openvino_model.xml .bin, onnx/model.onnx: a repository of the Hub
omz          public/<name>/<precision>/<name>.xml .bin: as omz_converter places them
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal, get_args

from toolchain.definitions.variants import PREFERRED
from toolchain.errors import PackageFormatError, UsageError
from toolchain.package.manifest import (
    GIT_ATTRIBUTES,
    Entry,
    Manifest,
    find_fault_of_files,
    make_entry,
)
from toolchain.printable import printable

Layout = Literal["plain", "ovms", "huggingface", "omz"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
PER_PRECISION = ("ir", "onnx", "sample-output", "quantization")  # roles
OVMS_REPOSITORY = "/models"  # path of the repository inside the server's container
# Files that the Hub stores outside git.
GIT_ATTRIBUTES_TEXT = "".join(
    f"*.{kind} filter=lfs diff=lfs merge=lfs -text\n" for kind in ("bin", "onnx", "png")
)


@dataclass(frozen=True)
class LayoutPlan:
    """Files of a layout and where to get them.

    Attributes:
        manifest: Manifest of the layout.
        sources: For each path in it, the path in the plain layout or the content of a new file.
    """

    manifest: Manifest
    sources: dict[str, str | bytes]


def list_precisions(manifest: Manifest) -> tuple[str, ...]:
    """List the precisions of the IRs in a plain package."""
    irs = (entry for entry in manifest.with_role("ir") if entry.path.endswith(".xml"))
    return tuple(entry.path.split("/")[0] for entry in irs if "/" in entry.path)


def plan_layout(manifest: Manifest, layout: Layout, precision: str | None = None) -> LayoutPlan:
    """Plan where the files of a plain package go.

    Args:
        manifest: Manifest of the plain package.
        layout: Name of the layout.
        precision: The IR that ovms serves, or that huggingface has at the top; by default the
            first of `PREFERRED` that the package contains.

    Returns:
        The files of the layout.

    Raises:
        PackageFormatError: Two of its files have the same place in the layout.
        UsageError: The package does not contain `precision`, or the layout has no use for one.
    """
    chosen = _choose_precision(manifest, layout, precision)
    name = manifest.name
    roles = {entry.path: entry.role for entry in manifest.files}
    added: dict[str, bytes] = {}
    if layout == "ovms":
        places = {
            path: f"{name}/1/{path.rpartition('/')[2]}" if role == "ir" else f"about/{path}"
            for path, role in roles.items()
            if role not in PER_PRECISION or f"/{chosen}/" in f"/{path}"
        }
        served = {"config": {"name": name, "base_path": f"{OVMS_REPOSITORY}/{name}"}}
        config = json.dumps({"model_config_list": [served]}, indent=2)
        added["config.json"] = f"{config}\n".encode()
    elif layout == "huggingface":
        places = {path: _get_hub_path(path, role, chosen) for path, role in roles.items()}
        added[GIT_ATTRIBUTES] = GIT_ATTRIBUTES_TEXT.encode()
    elif layout == "omz":
        places = {path: f"public/{name}/{path}" for path in roles}
    else:
        places = {path: path for path in roles}
    known = manifest.by_path()
    files: list[Entry] = [replace(known[old], path=new) for old, new in places.items()]
    files += [make_entry(path, data, "layout") for path, data in added.items()]
    files.sort(key=lambda entry: entry.path)
    if fault := find_fault_of_files(files, layout):
        raise _not_possible(manifest, layout, fault)
    try:
        facts = _move_paths(dict(manifest.facts), places)
    except KeyError as error:
        raise _not_possible(manifest, layout, f"it leaves out {error}") from error
    sources: dict[str, str | bytes] = {**{new: old for old, new in places.items()}, **added}
    return LayoutPlan(replace(manifest, layout=layout, files=tuple(files), facts=facts), sources)


def _not_possible(manifest: Manifest, layout: Layout, reason: str) -> PackageFormatError:
    return PackageFormatError(
        f"{manifest.root}: cannot be unpacked in the layout {layout}: {printable(reason, 400)}",
        kept="Nothing was written.",
        hint="Unpack it in the layout plain.",
    )


def _choose_precision(manifest: Manifest, layout: Layout, precision: str | None) -> str:
    packaged = list_precisions(manifest)
    if precision is None:
        return next((name for name in (*PREFERRED, *packaged) if name in packaged), "")
    if layout not in ("ovms", "huggingface"):
        raise UsageError(f"--precision is for ovms and huggingface; {layout} contains all of them")
    if precision not in packaged:
        raise UsageError(f"--precision {precision}: the package contains {', '.join(packaged)}")
    return precision


def _get_hub_path(path: str, role: str, chosen: str) -> str:
    if role == "onnx":
        return "onnx/model.onnx"
    if role == "ir":
        precision, _, file = path.partition("/")
        if not file:
            return path
        folder = "" if precision == chosen else f"{precision}/"
        return f"{folder}openvino_model{PurePosixPath(file).suffix}"
    return path


def _move_paths(facts: dict[str, object], places: dict[str, str]) -> dict[str, object]:
    """Update the paths in `facts`; entries of files that the layout leaves out are dropped."""
    moved = dict(facts)
    if "config" in facts:
        moved["config"] = places[str(facts["config"])]
    parameters, sample = facts.get("parameters"), facts.get("sample")
    if isinstance(parameters, dict):
        ports = parameters["ports"].items()
        kept = {places[old]: rows for old, rows in ports if old in places}
        moved["parameters"] = {**parameters, "ports": kept}
    if isinstance(sample, dict):
        inputs = {port: places[path] for port, path in sample["inputs"].items()}
        expected = [
            {
                **row,
                "ir": places[row["ir"]],
                "outputs": {port: places[path] for port, path in row["outputs"].items()},
            }
            for row in sample["expected"]
            if row["ir"] in places
        ]
        moved["sample"] = {**sample, "inputs": inputs, "expected": expected}
    return moved
