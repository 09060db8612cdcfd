"""Single arguments of the converters, on a small ONNX of our own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from parity.conversion import SIDES, both, ir, numbers, ports
from parity.environment import AT_ONCE, Ran, Tools
from parity.findings import Finding, compared
from parity.models import Served, write_model


@dataclass(frozen=True)
class Case:
    """Arguments of the converter on the small model; `name` is that of a folder too."""

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
        "mean-scale-reversed",
        (
            "--add_mo_arg=--mean_values=x[1,2,3]",
            "--add_mo_arg=--scale_values=x[4,5,6]",
            "--add_mo_arg=--reverse_input_channels",
        ),
    ),
    Case(
        "scale-halved",
        ("--add_mo_arg=--scale=3", "--add_mo_arg=--compress_to_fp16=True"),
    ),
    Case(
        "inner-output",
        ("--add_mo_arg=--input=x,z", "--add_mo_arg=--output=convolved,z_out"),
        "FP16",
    ),
    Case(
        "shapes-layouts",
        ("--add_mo_arg=--input_shape=[1,3,6,8],[1,2]", "--add-mo-arg=--layout=x(NCHW),z(NC)"),
    ),
)


# By the key of what they show.
FAULTS = (
    Case("convert.dry_run", ("--dry_run",)),
    Case("convert.model_name", ("--add_mo_arg=--model_name=other",)),
    Case("convert.unknown_argument", ("--add_mo_arg=--no_such_argument=1",)),
    Case("convert.untranslated", ("--add_mo_arg=--progress",)),
)


def check(tools: Tools, folder: Path) -> Iterator[Finding]:
    """What each argument makes of a small model, and faults of the incumbent that are not ours."""
    small = Small.made(tools, folder)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        runs = list(pool.map(small.run, CASES))
        faults = list(pool.map(small.run, FAULTS))
    for case, (theirs, ours) in zip(CASES, runs, strict=True):
        yield compared("convert.arguments", f"{case.name}: exit code", theirs.code, ours.code)
        yield from small.compared(case)
    yield from _order(small)
    irs = [small.ir(side, CASES[0]) for side in SIDES]
    yield compared("convert.info", "model_info in the IR", *map(_info, irs))
    for case, (theirs, ours) in zip(FAULTS, faults, strict=True):
        yield compared(case.name, f"{case.arguments[0]}: exit code", theirs.code, ours.code)
        argument = case.arguments[0].partition("=")[2].partition("=")[0]
        if ours.code == 2:
            named = f'"{argument}" can' in ours.err
            yield Finding("convert.named", f"{argument} is named", "", str(named), named)
    small.source.write_bytes(_small_onnx(weight=0.25))
    pair = small.run(Case("convert.digest", ()))
    yield compared("convert.digest", "an ONNX of another digest", *(ran.code for ran in pair))


@dataclass(frozen=True)
class Small:
    """A collection of one small ONNX model, downloaded already."""

    tools: Tools
    folder: Path

    @classmethod
    def made(cls, tools: Tools, folder: Path) -> Small:
        """Write it below `folder`."""
        small = cls(tools, folder)
        write_model(
            folder / "models",
            "public/small",
            {"small.onnx": Served(_small_onnx())},
            None,
            framework="onnx",
            model_optimizer_args=["--input_model=$dl_dir/small.onnx"],
            input_info=INFO,
            model_info=MODEL_INFO,
        )
        small.source.parent.mkdir(parents=True)
        small.source.write_bytes(_small_onnx())
        return small

    @property
    def source(self) -> Path:
        """The downloaded file."""
        return self.folder / "downloads" / "public" / "small" / "small.onnx"

    def run(self, case: Case) -> list[Ran]:
        """Both converters."""
        words = ("--name", "small", "--precisions", case.precision, *case.arguments)
        roots = (self.folder / "models", self.folder / "downloads")
        return both(self.tools, *roots, self.folder / case.name, words)

    def ir(self, side: str, case: Case) -> Any:
        """What one of them made."""
        return ir(self.folder / case.name / side, "small", case.precision)

    def compared(self, case: Case) -> Iterator[Finding]:
        """Ports and outputs of both IRs."""
        theirs, ours = (self.ir(side, case) for side in SIDES)
        yield compared("convert.arguments", f"{case.name}: ports", ports(theirs), ports(ours))
        feed = {port.get_any_name(): _ramp(port.shape) for port in theirs.inputs}
        yield from numbers(f"{case.name}: outputs", theirs, ours, feed)


def _ramp(shape: Sequence[int]) -> np.ndarray[Any, Any]:
    return np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape) * np.float32(1.1)


def _order(small: Small) -> Iterator[Finding]:
    """All outputs in another order than the ONNX's, by the names of their nodes."""
    case = Case("order", ("--add_mo_arg=--output=doubling,activation",))
    small.run(case)
    names = [[port.get_any_name() for port in small.ir(side, case).outputs] for side in SIDES]
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
