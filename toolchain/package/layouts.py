"""The layouts of a bundle: where servers and tools look for its files.

plain        as in the archive
ovms         config.json, <name>/1/<name>.xml .bin: OpenVINO Model Server's repository
huggingface  README.md, openvino_model.xml .bin, onnx/model.onnx: a repository of the Hub
omz          public/<name>/<precision>/<name>.xml .bin, as omz_converter laid it out
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args

from toolchain.errors import UsageError
from toolchain.package.manifest import Entry, Manifest, entry_of

Layout = Literal["plain", "ovms", "huggingface", "omz"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
PREFERRED = ("FP16", "FP32")  # what is served where one has to be chosen
OF_A_PRECISION = ("ir", "onnx", "sample-output", "quantization")
MOUNT = "/models"  # where the server's container finds its repository
# The Hub stores what these name outside git.
ATTRIBUTES = "".join(
    f"*.{kind} filter=lfs diff=lfs merge=lfs -text\n" for kind in ("bin", "onnx", "png")
)


@dataclass(frozen=True)
class LaidOut:
    """`manifest`: of the layout.  `sources`: by new path, the old path or the bytes of a file."""

    manifest: Manifest
    sources: dict[str, str | bytes]


def precisions_of(manifest: Manifest) -> tuple[str, ...]:
    """The precisions whose IR the bundle holds."""
    irs = (entry for entry in manifest.of_role("ir") if entry.path.endswith(".xml"))
    return tuple(entry.path.split("/")[0] for entry in irs)


def laid_out(manifest: Manifest, layout: Layout, precision: str | None = None) -> LaidOut:
    """Place the files of a plain bundle.

    `precision`: the one that is served or stands at the top where a layout has room for one; None:
    FP16 if it is there.  Raises UsageError for one that the bundle does not hold, or where the
    layout has no choice.
    """
    chosen = _chosen(manifest, layout, precision)
    name = manifest.name
    made: dict[str, bytes] = {}
    if layout == "ovms":
        placed = [
            (f"{name}/1/{path.rpartition('/')[2]}" if role == "ir" else f"about/{path}", path)
            for path, role in _files(manifest)
            if role not in OF_A_PRECISION or f"/{chosen}/" in f"/{path}"
        ]
        served = {"config": {"name": name, "base_path": f"{MOUNT}/{name}"}}
        made["config.json"] = _json({"model_config_list": [served]})
    elif layout == "huggingface":
        placed = [(_on_the_hub(path, role, chosen), path) for path, role in _files(manifest)]
        made[".gitattributes"] = ATTRIBUTES.encode()
    elif layout == "omz":
        placed = [(f"public/{name}/{path}", path) for path, _ in _files(manifest)]
    else:
        placed = [(path, path) for path, _ in _files(manifest)]
    return _with_manifest(manifest, layout, placed, made)


def _chosen(manifest: Manifest, layout: Layout, precision: str | None) -> str:
    there = precisions_of(manifest)
    if precision is None:
        return next((name for name in PREFERRED if name in there), there[0] if there else "")
    if layout not in ("ovms", "huggingface"):
        raise UsageError(f"--precision is for ovms and huggingface; {layout} has room for all")
    if precision not in there:
        raise UsageError(f"--precision {precision}: the bundle holds {', '.join(there)}")
    return precision


def _files(manifest: Manifest) -> Iterable[tuple[str, str]]:
    return ((entry.path, entry.role) for entry in manifest.files)


def _on_the_hub(path: str, role: str, chosen: str) -> str:
    if role == "onnx":
        return "onnx/model.onnx"
    if role == "ir":
        precision, _, file = path.partition("/")
        folder = "" if precision == chosen else f"{precision}/"
        return f"{folder}openvino_model{file[file.rindex('.') :]}"
    return path


def _with_manifest(
    manifest: Manifest, layout: str, placed: list[tuple[str, str]], made: dict[str, bytes]
) -> LaidOut:
    known = manifest.by_path()
    files: list[Entry] = [replace(known[old], path=new) for new, old in placed]
    files += [entry_of(path, data, "layout") for path, data in made.items()]
    files.sort(key=lambda entry: entry.path)
    new_paths = {old: new for new, old in placed}
    facts = _renamed(dict(manifest.facts), new_paths)
    sources: dict[str, str | bytes] = {**dict(placed), **made}
    return LaidOut(replace(manifest, layout=layout, files=tuple(files), facts=facts), sources)


def _renamed(facts: dict[str, object], new_paths: dict[str, str]) -> dict[str, object]:
    """Paths follow the files; what was left out of the layout is left out here."""
    sample, parameters = facts.get("sample"), facts.get("parameters")
    if not (isinstance(sample, dict) and isinstance(parameters, dict)):
        return facts
    ports = {new_paths[old]: rows for old, rows in parameters["ports"].items() if old in new_paths}
    inputs = {port: new_paths[path] for port, path in sample["inputs"].items()}
    expected = [
        {
            **row,
            "ir": new_paths[row["ir"]],
            "outputs": {port: new_paths[path] for port, path in row["outputs"].items()},
        }
        for row in sample["expected"]
        if row["ir"] in new_paths
    ]
    return {
        **facts,
        "config": new_paths[str(facts["config"])],
        "parameters": {**parameters, "ports": ports},
        "sample": {**sample, "inputs": inputs, "expected": expected},
    }


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
