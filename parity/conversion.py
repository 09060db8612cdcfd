"""Conversion of this model by Open Model Zoo with Model Optimizer, and by this toolchain."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from parity.environment import SIDES, Completed, Tools, read_digests
from parity.findings import Finding, compare
from toolchain.definitions.variants import CONVERTED
from toolchain.frames.generated import composite
from toolchain.runtimes.openvino_api import openvino, operators

TOOL = "omz_converter"
NAME = "background-matting-mobilenetv2"
Feed = dict[str, np.ndarray[Any, Any]]
Outputs = list[np.ndarray[Any, Any]]


def check(tools: Tools, folder: Path) -> Iterator[Finding]:
    """Compare exit code, files, inputs and outputs, and the numbers of both IRs."""
    models, downloads = create_collection(tools, folder, export_onnx(tools, folder / "export"))
    runs = run_both(tools, models, downloads, folder, ("--name", NAME))
    yield compare("convert", "this model: exit code", *(ran.code for ran in runs))
    files = [list(read_digests(folder / side)) for side in SIDES]
    counts = [f"{len(names)} files" for names in files]
    yield Finding("convert", "this model: files", *counts, files[0] == files[1])
    feed = _create_feed()
    for precision in CONVERTED:
        omz, ours = (read_ir(folder / side, NAME, precision) for side in SIDES)
        ports = [format_ports(model) for model in (omz, ours)]
        yield compare("convert", f"{precision}: inputs and outputs", *ports)
        yield from compare_outputs(f"{precision}: outputs at f32", omz, ours, feed)


def export_onnx(tools: Tools, folder: Path) -> Path:
    """Export the bundled weights to ONNX with this toolchain."""
    for stage in ("download", "export"):
        words = [stage, "--weights", "bundled", "--quiet", "--output", str(folder)]
        ran = tools.run([sys.executable, "-m", "toolchain", *words])
        if ran.code:
            raise RuntimeError(ran.err)
    (onnx,) = folder.rglob("*.onnx")
    return onnx


def create_collection(tools: Tools, folder: Path, onnx: Path) -> tuple[Path, Path]:
    """Create a collection with Open Model Zoo's entry for this model, and our ONNX as its file.

    Args:
        tools: The tools.
        folder: Folder for the collection.
        onnx: The ONNX file.

    Returns:
        Root of the collection, root of the downloaded files.
    """
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


def run_both(
    tools: Tools, models: Path, downloads: Path, folder: Path, arguments: Sequence[object]
) -> list[Completed]:
    """Run both converters, each with a subfolder of `folder` named by its side as output."""
    return [
        getattr(tools, side)(models, TOOL, *arguments, "-d", downloads, "-o", folder / side)
        for side in SIDES
    ]


def read_ir(root: Path, name: str, precision: str) -> Any:
    """Read an IR from the output folder of one side."""
    return openvino.Core().read_model(root / "public" / name / precision / f"{name}.xml")


def format_ports(model: Any) -> str:
    """Format names, types and shapes of inputs and outputs, in order."""
    return " ".join(
        f"{port.get_any_name()} {port.get_element_type().get_type_name()} "
        f"{port.get_partial_shape()}"
        for port in (*model.inputs, *model.outputs)
    )


def _create_feed() -> Feed:
    """A generated frame and its plate, 1 x 3 x H x W, float32, BGR, 0..255."""
    frame = composite(7, 1280, 720)
    return {
        name: np.ascontiguousarray(pixels[None, :, :, ::-1].transpose(0, 3, 1, 2), np.float32)
        for name, pixels in (("src", frame.src), ("bgr", frame.bgr))
    }


def _infer(model: Any, feed: Feed) -> Outputs:
    config = {"INFERENCE_PRECISION_HINT": "f32"}
    result = openvino.Core().compile_model(model, "CPU", config)(feed)
    return [np.array(result[index]) for index in range(len(model.outputs))]


def compare_outputs(what: str, omz: Any, ours: Any, feed: Feed) -> Iterator[Finding]:
    """Compare outputs at f32.

    If they differ, they are compared again with the constants restored that only Open Model Zoo
    rounded to float16.  That changes `omz`.
    """
    expected, found = _infer(omz, feed), _infer(ours, feed)
    count = 0 if _are_equal(expected, found) else _restore_constants(omz, ours)
    yield _compare_numbers("convert.half" if count else "convert.numbers", what, expected, found)
    if count:
        restored = _infer(omz, feed)
        yield _compare_numbers("convert.numbers", f"... {count} constants exact", restored, found)


def _are_equal(expected: Outputs, found: Outputs) -> bool:
    return len(expected) == len(found) and all(map(np.array_equal, expected, found))


def _compare_numbers(key: str, what: str, expected: Outputs, found: Outputs) -> Finding:
    if _are_equal(expected, found):
        return Finding(key, what, "", "bit-identical", same=True)
    worst = max(float(np.abs(a - b).max()) for a, b in zip(expected, found, strict=True))
    return Finding(key, what, "", f"differ by up to {worst:.2g}", same=False)


def _restore_constants(omz: Any, ours: Any) -> int:
    """Replace float16 constants of `omz` by their float32 values in `ours`; return the number."""
    exact = [np.array(node.data) for node in _find_constants(ours, "f32")]
    count = 0
    for node in _find_constants(omz, "f16"):
        for value in exact:
            rounded = value.astype(np.float16).ravel()
            if np.array_equal(rounded, np.array(node.data).ravel()) and not np.array_equal(
                rounded, value.ravel()
            ):
                new = operators.constant(value.reshape(node.data.shape))
                (port,) = node.output(0).get_target_inputs()  # the conversion to float32
                for target in port.get_node().output(0).get_target_inputs():
                    target.replace_source_output(new.output(0))
                count += 1
                break
    return count


def _find_constants(model: Any, kind: str) -> list[Any]:
    return [
        node
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Constant" and node.get_element_type().get_type_name() == kind
    ]
