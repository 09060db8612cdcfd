"""Conversions of ONNX by Model Optimizer and by ours: this model, then arguments on a small one."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from parity.environment import Ran, Tools
from parity.findings import Finding, compared
from parity.models import Served, tree, write_model

TOOL = "omz_converter"
NAME = "background-matting-mobilenetv2"
PRECISIONS = ("FP32", "FP16")
Outputs = list[np.ndarray[Any, Any]]


def check(tools: Tools, folder: Path) -> Iterator[Finding]:
    """Layout, ports and numbers of this model's IRs; then what single arguments do."""
    made = export(tools, folder / "export")
    yield from _own_model(tools, folder / "own", made)
    yield from _arguments(tools, folder / "small")


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


def _own_model(tools: Tools, folder: Path, onnx: Path) -> Iterator[Finding]:
    models, downloads = collection(tools, folder, onnx)
    runs = _both(tools, models, downloads, folder, ("--name", NAME))
    yield compared("convert", "this model: exit code", *(ran.code for ran in runs))
    yield compared("convert", "this model: files", *(list(tree(folder / s)) for s in SIDES))
    feed = _feed()
    for precision in PRECISIONS:
        theirs, ours = (_ir(folder / side, NAME, precision) for side in SIDES)
        yield compared("convert", f"{precision}: inputs and outputs", _ports(theirs), _ports(ours))
        yield from _numbers(f"{precision}: outputs at f32", theirs, ours, feed)


SIDES = ("theirs", "ours")


def _both(
    tools: Tools, models: Path, downloads: Path, folder: Path, arguments: Sequence[object]
) -> list[Ran]:
    runs = []
    for side in SIDES:
        words = (*arguments, "-d", downloads, "-o", folder / side)
        runs.append(getattr(tools, side)(models, TOOL, *words))
    return runs


def _ir(root: Path, name: str, precision: str, subdirectory: str = "public") -> Any:
    import openvino

    core = openvino.Core()
    return core.read_model(root / subdirectory / name / precision / f"{name}.xml")


def _ports(model: Any) -> str:
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


def _numbers(
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


@dataclass(frozen=True)
class Case:
    """Arguments of --add_mo_arg on the small model; `outputs`: how many there are then."""

    name: str
    arguments: tuple[str, ...]
    precision: str = "FP32"


INFO = [{"name": "x", "shape": [1, 3, 4, 4], "layout": "NCHW"}, {"name": "z", "shape": [1, 2]}]
LABELS = ["one", "two words"]
MODEL_INFO = {
    "model_type": "ssd",
    "confidence_threshold": 0.5,
    "iou_threshold": 0.25,
    "resize_type": "standard",
    "anchors": [1.5, 2.5],
    "masks": [0, 1, 2],
    "labels": LABELS,
}
CASES = (
    Case(
        "mean, scale per channel, reversed",
        ("--mean_values=x[1,2,3]", "--scale_values=x[4,5,6]", "--reverse_input_channels"),
    ),
    Case("one scale, halved weights", ("--scale=3", "--compress_to_fp16=True")),
    Case(
        "inputs, an inner output",
        ("--input=x,z", "--output=convolved,z_out"),
        "FP16",
    ),
    Case("shapes, layouts", ("--input_shape=[1,3,6,8],[1,2]", "--layout=x(NCHW),z(NC)")),
)


def _arguments(tools: Tools, folder: Path) -> Iterator[Finding]:
    """What each argument makes of a small model, and faults of the incumbent that are not ours."""
    data = _small_onnx()
    arguments = ["--input_model=$dl_dir/small.onnx"]
    root, downloads = folder / "models", folder / "downloads"
    write_model(
        root,
        "public/small",
        {"small.onnx": Served(data)},
        None,
        framework="onnx",
        model_optimizer_args=arguments,
        input_info=INFO,
        model_info=MODEL_INFO,
    )
    target = downloads / "public" / "small" / "small.onnx"
    target.parent.mkdir(parents=True)
    target.write_bytes(data)
    for number, case in enumerate(CASES):
        place = folder / str(number)
        added = [f"--add_mo_arg={argument}" for argument in case.arguments]
        words = ("--name", "small", "--precisions", case.precision, *added)
        codes = [ran.code for ran in _both(tools, root, downloads, place, words)]
        yield compared("convert.arguments", f"{case.name}: exit code", *codes)
        theirs, ours = (_ir(place / side, "small", case.precision) for side in SIDES)
        yield compared("convert.arguments", f"{case.name}: ports", _ports(theirs), _ports(ours))
        feed = {
            port.get_any_name(): np.arange(1, np.prod(port.shape) + 1, dtype=np.float32).reshape(
                port.shape
            )
            * np.float32(1.1)
            for port in theirs.inputs
        }
        yield from _numbers(f"{case.name}: outputs", theirs, ours, feed)
    yield from _order(tools, root, downloads, folder / "order")
    yield compared("convert.info", "model_info in the IR", _info(theirs), _info(ours))
    said = ""
    words: tuple[str, ...] = ("--name", "small", "--precisions", "FP32")
    for key, more in (
        ("convert.dry_run", ("--dry_run",)),
        ("convert.model_name", ("--add_mo_arg=--model_name=other",)),
        ("convert.unknown_argument", ("--add_mo_arg=--no_such_argument=1",)),
        ("convert.untranslated", ("--add_mo_arg=--progress",)),
    ):
        runs = _both(tools, root, downloads, folder / key, (*words, *more))
        yield compared(key, f"{more[0]}: exit code", *(ran.code for ran in runs))
        said += runs[1].err
    named = "--no_such_argument" in said and '"--progress" can' in said
    yield Finding("convert.named", "arguments that are not translated", "", "named", named)
    target.write_bytes(_small_onnx(weight=0.25))
    runs = _both(tools, root, downloads, folder / "digest", words)
    yield compared("convert.digest", "an ONNX of another digest", *(ran.code for ran in runs))


def _order(tools: Tools, root: Path, downloads: Path, folder: Path) -> Iterator[Finding]:
    """All outputs in another order than the ONNX's, by the names of their nodes."""
    added = "--add_mo_arg=--output=doubling,activation"
    _both(tools, root, downloads, folder, ("--name", "small", "--precisions", "FP32", added))
    irs = (_ir(folder / side, "small", "FP32") for side in SIDES)
    names = [[port.get_any_name() for port in model.outputs] for model in irs]
    yield compared("convert.arguments", "outputs by their nodes", *map(sorted, names))
    yield compared("convert.output_order", "their order", *map(" ".join, names))


def _info(model: Any) -> str:
    return json.dumps({key: str(model.get_rt_info(["model_info", key])) for key in MODEL_INFO})


def _small_onnx(weight: float = 0.5) -> bytes:
    """x, any height and width, through a convolution; z, two numbers, doubled.

    Without `before`, Model Optimizer folds mean and scale into the convolution, and rounds anew.
    """
    from onnx import TensorProto, helper

    weights = helper.make_tensor(
        "w", TensorProto.FLOAT, [2, 3, 1, 1], [weight, 0.1, 0.7, -0.3, 0.9, 1.3]
    )
    ports = {"x": [1, 3, "h", "w"], "z": [1, 2], "x_out": [1, 2, "h", "w"], "z_out": [1, 2]}
    values = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in ports.items()
    }
    nodes = [
        helper.make_node("Abs", ["x"], ["x_abs"], name="before"),
        helper.make_node("Conv", ["x_abs", "w"], ["convolved"], name="convolution"),
        helper.make_node("Relu", ["convolved"], ["x_out"], name="activation"),
        helper.make_node("Add", ["z", "z"], ["z_out"], name="doubling"),
    ]
    graph = helper.make_graph(
        nodes, "small", [values["x"], values["z"]], [values["x_out"], values["z_out"]], [weights]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
