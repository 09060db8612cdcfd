"""Layouts of a package: the places where servers and tools look for its files.

plain        as in the archive
ovms         config.json, <name>/1/<name>.xml .bin: OpenVINO Model Server's repository
huggingface  README.md, openvino_model.xml .bin, onnx/model.onnx: a repository of the Hub
omz          public/<name>/<precision>/<name>.xml .bin: as omz_converter places them
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Literal, get_args

from toolchain.definitions.variants import PREFERRED
from toolchain.errors import UsageError
from toolchain.package.manifest import Entry, Manifest, make_entry

Layout = Literal["plain", "ovms", "huggingface", "omz"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
PER_PRECISION = ("ir", "onnx", "sample-output", "quantization")  # roles
OVMS_REPOSITORY = "/models"  # path of the repository inside the server's container
# Files that the Hub stores outside git.
GIT_ATTRIBUTES = "".join(
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
    return tuple(entry.path.split("/")[0] for entry in irs)


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
        added[".gitattributes"] = GIT_ATTRIBUTES.encode()
    elif layout == "omz":
        places = {path: f"public/{name}/{path}" for path in roles}
    else:
        places = {path: path for path in roles}
    known = manifest.by_path()
    files: list[Entry] = [replace(known[old], path=new) for old, new in places.items()]
    files += [make_entry(path, data, "layout") for path, data in added.items()]
    files.sort(key=lambda entry: entry.path)
    facts = _move_paths(dict(manifest.facts), places)
    sources: dict[str, str | bytes] = {**{new: old for old, new in places.items()}, **added}
    return LayoutPlan(replace(manifest, layout=layout, files=tuple(files), facts=facts), sources)


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
        folder = "" if precision == chosen else f"{precision}/"
        return f"{folder}openvino_model{file[file.rindex('.') :]}"
    return path


def _move_paths(facts: dict[str, object], places: dict[str, str]) -> dict[str, object]:
    """Update the paths in `facts`; entries of files that the layout leaves out are dropped."""
    sample, parameters = facts.get("sample"), facts.get("parameters")
    if not (isinstance(sample, dict) and isinstance(parameters, dict)):
        return facts
    ports = {places[old]: rows for old, rows in parameters["ports"].items() if old in places}
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
    return {
        **facts,
        "config": places[str(facts["config"])],
        "parameters": {**parameters, "ports": ports},
        "sample": {**sample, "inputs": inputs, "expected": expected},
    }
