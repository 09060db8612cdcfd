"""Single arguments of the converters, on a small ONNX."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from parity.conversion import compare_outputs, format_ports, read_ir, run_both
from parity.environment import CONCURRENT_RUNS, SIDES, Completed, Tools
from parity.findings import Finding, compare
from tests.support.omz_models import write_model


@dataclass(frozen=True)
class Case:
    """One command line of the converter on the small model.

    Attributes:
        name: Name of the case, and of its output folder.
        arguments: Arguments of the converter.
        precision: Precision to make.
    """

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

# Faults of Open Model Zoo, by the key in docs/differences.md.
FAULTS = (
    Case("convert.dry_run", ("--dry_run",)),
    Case("convert.model_name", ("--add_mo_arg=--model_name=other",)),
    Case("convert.unknown_argument", ("--add_mo_arg=--no_such_argument=1",)),
    Case("convert.untranslated", ("--add_mo_arg=--progress",)),
)


def check(tools: Tools, folder: Path) -> Iterator[Finding]:
    """Compare the result of each argument, then the faults of Open Model Zoo."""
    small = SmallModel.create(tools, folder)
    with ThreadPoolExecutor(CONCURRENT_RUNS) as pool:
        runs = list(pool.map(small.run, CASES))
        faults = list(pool.map(small.run, FAULTS))
    for case, (omz, ours) in zip(CASES, runs, strict=True):
        yield compare("convert.arguments", f"{case.name}: exit code", omz.code, ours.code)
        yield from small.compare(case)
    yield from _compare_order(small)
    irs = [small.read_ir(side, CASES[0]) for side in SIDES]
    yield compare("convert.info", "model_info in the IR", *map(_read_info, irs))
    for case, (omz, ours) in zip(FAULTS, faults, strict=True):
        yield compare(case.name, f"{case.arguments[0]}: exit code", omz.code, ours.code)
        argument = case.arguments[0].partition("=")[2].partition("=")[0]
        if ours.code == 2:
            named = f'"{argument}"' in ours.err
            yield Finding("convert.named", f"{argument} is in the message", "", str(named), named)
    small.source.write_bytes(_create_onnx(weight=0.25))
    pair = small.run(Case("convert.digest", ()))
    yield compare("convert.digest", "an ONNX of another digest", *(ran.code for ran in pair))


@dataclass(frozen=True)
class SmallModel:
    """A collection of one small ONNX model, with its file downloaded.

    Attributes:
        tools: The tools.
        folder: Folder of the collection, the download and the results.
    """

    tools: Tools
    folder: Path

    @classmethod
    def create(cls, tools: Tools, folder: Path) -> SmallModel:
        """Write the files."""
        small = cls(tools, folder)
        write_model(
            folder / "models",
            "public/small",
            {"small.onnx": _create_onnx()},
            framework="onnx",
            model_optimizer_args=["--input_model=$dl_dir/small.onnx"],
            input_info=INFO,
            model_info=MODEL_INFO,
        )
        small.source.parent.mkdir(parents=True)
        small.source.write_bytes(_create_onnx())
        return small

    @property
    def source(self) -> Path:
        """The downloaded file."""
        return self.folder / "downloads" / "public" / "small" / "small.onnx"

    def run(self, case: Case) -> list[Completed]:
        """Run both converters."""
        words = ("--name", "small", "--precisions", case.precision, *case.arguments)
        roots = (self.folder / "models", self.folder / "downloads")
        return run_both(self.tools, *roots, self.folder / case.name, words)

    def read_ir(self, side: str, case: Case) -> Any:
        """Read the result of one side."""
        return read_ir(self.folder / case.name / side, "small", case.precision)

    def compare(self, case: Case) -> Iterator[Finding]:
        """Compare inputs and outputs of both IRs."""
        omz, ours = (self.read_ir(side, case) for side in SIDES)
        ports = [format_ports(model) for model in (omz, ours)]
        yield compare("convert.arguments", f"{case.name}: ports", *ports)
        feed = {port.get_any_name(): _create_ramp(port.shape) for port in omz.inputs}
        yield from compare_outputs(f"{case.name}: outputs", omz, ours, feed)


def _create_ramp(shape: Sequence[int]) -> np.ndarray[Any, Any]:
    return np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape) * np.float32(1.1)


def _compare_order(small: SmallModel) -> Iterator[Finding]:
    """Ask for all outputs by the names of their nodes, in another order than in the ONNX."""
    case = Case("order", ("--add_mo_arg=--output=doubling,activation",))
    small.run(case)
    names = [[port.get_any_name() for port in small.read_ir(side, case).outputs] for side in SIDES]
    yield compare("convert.arguments", "outputs by their nodes", *map(sorted, names))
    yield compare("convert.output_order", "their order", *map(" ".join, names))


def _read_info(model: Any) -> str:
    return json.dumps(
        {key: model.get_rt_info(["model_info", key]).astype(str) for key in MODEL_INFO}
    )


def _create_onnx(weight: float = 0.5) -> bytes:
    """Create an ONNX file: a convolution of x (any height and width), and z (two numbers) doubled.

    The node `before` keeps Model Optimizer from folding mean and scale into the convolution, which
    would round its weights again.
    """
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
