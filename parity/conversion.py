"""The conversion of this model by the incumbent with Model Optimizer, and by ours."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from parity.environment import Ran, Tools
from parity.findings import Finding, compared
from parity.models import tree

TOOL = "omz_converter"
NAME = "background-matting-mobilenetv2"
PRECISIONS = ("FP32", "FP16")
SIDES = ("theirs", "ours")
Outputs = list[np.ndarray[Any, Any]]


def check(tools: Tools, folder: Path) -> Iterator[Finding]:
    """Exit code, layout, ports and numbers of both IRs."""
    models, downloads = collection(tools, folder, export(tools, folder / "export"))
    runs = both(tools, models, downloads, folder, ("--name", NAME))
    yield compared("convert", "this model: exit code", *(ran.code for ran in runs))
    trees = [list(tree(folder / side)) for side in SIDES]
    counts = [f"{len(files)} files" for files in trees]
    yield Finding("convert", "this model: files", *counts, trees[0] == trees[1])
    feed = _feed()
    for precision in PRECISIONS:
        theirs, ours = (ir(folder / side, NAME, precision) for side in SIDES)
        yield compared("convert", f"{precision}: inputs and outputs", ports(theirs), ports(ours))
        yield from numbers(f"{precision}: outputs at f32", theirs, ours, feed)


def export(tools: Tools, folder: Path) -> Path:
    """The ONNX of the bundled weights, exported by us."""
    words = ["export", "--weights", "bundled", "--quiet", "--output", str(folder)]
    for stage in ("download", "export"):
        ran = tools.run([sys.executable, "-m", "toolchain", stage, *words[1:]])
        if ran.code:
            raise RuntimeError(ran.err)
    (onnx,) = folder.rglob("*.onnx")
    return onnx


def collection(tools: Tools, folder: Path, onnx: Path) -> tuple[Path, Path]:
    """The incumbent's own entry for this model with our ONNX as its file; models, downloads."""
    entry = tools.collection / "public" / NAME / "model.yml"
    content = yaml.safe_load(entry.read_text(encoding="utf-8"))
    (file,) = content["files"]
    file["size"] = onnx.stat().st_size
    file["checksum"] = hashlib.sha384(onnx.read_bytes()).hexdigest()
    models, downloads = folder / "models", folder / "downloads"
    for root in (models, downloads):
        (root / "public" / NAME).mkdir(parents=True)
    (models / "public" / NAME / "model.yml").write_text(yaml.safe_dump(content), "utf-8")
    shutil.copy(onnx, downloads / "public" / NAME / file["name"])
    return models, downloads


def both(
    tools: Tools, models: Path, downloads: Path, folder: Path, arguments: Sequence[object]
) -> list[Ran]:
    """The incumbent's converter, then ours, each into a folder called by its side."""
    runs = []
    for side in SIDES:
        words = (*arguments, "-d", downloads, "-o", folder / side)
        runs.append(getattr(tools, side)(models, TOOL, *words))
    return runs


def ir(root: Path, name: str, precision: str) -> Any:
    """An IR in the folder of one side."""
    import openvino

    return openvino.Core().read_model(root / "public" / name / precision / f"{name}.xml")


def ports(model: Any) -> str:
    """Names, types and shapes of inputs and outputs, in order."""
    return " ".join(
        f"{port.get_any_name()} {kind.get_type_name()} {port.get_partial_shape()}"
        for port in (*model.inputs, *model.outputs)
        for kind in (port.get_element_type(),)
    )


def _feed() -> dict[str, np.ndarray[Any, Any]]:
    """A generated person before a plate, BGR 0..255."""
    from toolchain.frames.generated import composite

    frame = composite(7, 1280, 720)
    planes = (picture[None, :, :, ::-1].transpose(0, 3, 1, 2) for picture in (frame.src, frame.bgr))
    return dict(
        zip(("src", "bgr"), (np.ascontiguousarray(p, np.float32) for p in planes), strict=True)
    )


def _infer(model: Any, feed: dict[str, np.ndarray[Any, Any]]) -> Outputs:
    import openvino

    config = {"INFERENCE_PRECISION_HINT": "f32"}
    result = openvino.Core().compile_model(model, "CPU", config)(feed)
    return [np.array(result[index]) for index in range(len(model.outputs))]


def numbers(
    what: str, theirs: Any, ours: Any, feed: dict[str, np.ndarray[Any, Any]]
) -> Iterator[Finding]:
    """Outputs at f32, and where constants were rounded that ours kept: once more without that."""
    expected, found = _infer(theirs, feed), _infer(ours, feed)
    count = 0 if _same(expected, found) else _put_back(theirs, ours)
    yield _verdict("convert.half" if count else "convert.numbers", what, expected, found)
    if count:
        again = _infer(theirs, feed)
        yield _verdict("convert.numbers", f"... {count} constants exact", again, found)


def _same(expected: Outputs, found: Outputs) -> bool:
    return len(expected) == len(found) and all(
        np.array_equal(one, other) for one, other in zip(expected, found, strict=True)
    )


def _verdict(key: str, what: str, expected: Outputs, found: Outputs) -> Finding:
    if _same(expected, found):
        return Finding(key, what, "", "bit-identical", same=True)
    worst = max(float(np.abs(a - b).max()) for a, b in zip(expected, found, strict=True))
    return Finding(key, what, "", f"up to {worst:.2g} apart", same=False)


def _put_back(theirs: Any, ours: Any) -> int:
    """Give `theirs` the float32 constants that `ours` kept and it rounded to half; how many."""
    try:
        from openvino import opset8
    except ImportError:  # its place up to 2024
        from openvino.runtime import opset8

    exact = [np.array(node.data) for node in _constants(ours, "f32")]
    count = 0
    for node in _constants(theirs, "f16"):
        for value in exact:
            rounded = value.astype(np.float16).ravel()
            if np.array_equal(rounded, np.array(node.data).ravel()) and not np.array_equal(
                rounded, value.ravel()
            ):
                new = opset8.constant(value.reshape(node.data.shape))
                (port,) = node.output(0).get_target_inputs()
                for target in port.get_node().output(0).get_target_inputs():
                    target.replace_source_output(new.output(0))
                count += 1
                break
    return count


def _constants(model: Any, kind: str) -> list[Any]:
    return [
        node
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Constant" and node.get_element_type().get_type_name() == kind
    ]
