"""The converted model's speed against Open Model Zoo's graph, the other runtimes, and the machine.

All in one process, in turn, after warm-up; ratios are medians over the rounds.  Both graphs have
the same weights and are converted by the same stage: Open Model Zoo's as `roi_align` crops,
`scatter_element` and a dynamic number of patches (see `omz_graph`).
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import openvino

from benchmarks.omz_graph import write
from benchmarks.outcome import FOLDER, Figure, conclude
from benchmarks.peak import peak_gflops
from benchmarks.profile import layers, sum_by_kind
from toolchain.catalog.arguments import conversion_settings, export_settings, with_overrides
from toolchain.catalog.builtin import builtin_config
from toolchain.catalog.reader import read_model
from toolchain.definitions.variants import INT8
from toolchain.frames.frame import Frame
from toolchain.frames.generated import composite
from toolchain.network.profile import profile
from toolchain.pipeline.build import build
from toolchain.pipeline.request import BuildRequest
from toolchain.pipeline.weights import choose_weights
from toolchain.runtimes.onnx_runtime import OnnxRuntime
from toolchain.runtimes.pytorch import PyTorchRuntime
from toolchain.stages.convert.convert import convert
from toolchain.stages.convert.request import ConvertRequest
from toolchain.workspace.environment import processor, version

ROUNDS = 15
SLOW_ROUNDS = 3
BURST = 12  # inferences of one round of throughput
LARGER = (((1920, 1080), 0.25, 80_000), ((3840, 2160), 0.125, 320_000))
TARGETS = {("ours", "f32"): 1.4, ("ours", "default"): 1.8, ("ours INT8", "default"): 2.6}
Infer = Callable[[], object]


@dataclass(frozen=True)
class Built:
    """Files of one size; `int8` and `omz` only where they are compared."""

    checkpoint: Path
    onnx: Path
    ours: Path
    int8: Path
    omz: Path

    def forms(self, hint: str) -> dict[str, Path]:
        """The IRs that are compared at a hint; INT8 only at the device's default."""
        forms = {"omz": self.omz, "ours": self.ours}
        return forms if hint == "f32" else forms | {"ours INT8": self.int8}


def main() -> int:
    """Build both graphs, time them, print the table, write JSON and a plot."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        built = _build(Path(folder), (1280, 720), 0.25, 80_000, omz=True)
        frame = composite(1, 1280, 720)
        medians: dict[str, float] = {}
        for hint in ("f32", "default"):
            figures += _latency(built, frame, hint, medians)
            figures += _throughput(built, frame, hint)
        figures += _shares(medians)
        figures += _others(built, frame)
        figures += _loading(built, frame)
        for hint in ("f32", "default"):
            for name, xml in built.forms(hint).items():
                figures += sum_by_kind(f"{name}, {hint}", layers(xml, hint, _feed(frame)))
        figures += _memory(built)
        for size, scale, pixels in LARGER:
            figures += _larger(Path(folder), size, scale, pixels)
    print(f"{processor()}; openvino {version('openvino')}, torch {version('torch')}")
    _plot(medians, FOLDER / "model.png")
    return conclude("model", figures)


def _build(folder: Path, size: tuple[int, int], scale: float, pixels: int, *, omz: bool) -> Built:
    model = read_model(builtin_config())
    settings = with_overrides(
        export_settings(model),
        input_size=size,
        backbone_scale=scale,
        refine_sample_pixels=pixels,
    )
    output = folder / f"{size[0]}x{size[1]}"
    request = BuildRequest(
        model,
        choose_weights(model, "bundled", output),
        output,
        settings=settings,
        precisions=("FP16", INT8) if omz else ("FP16",),
        stages=("download", "export", "convert", "quantize"),
    )
    build(request)
    theirs = folder / "omz.xml"
    if omz:
        write(request.checkpoint, folder / "omz.onnx", *size, "roi_align")
        arguments = conversion_settings(model)
        convert(ConvertRequest(folder / "omz.onnx", theirs, "FP16", arguments, ()))
    layout = request.layout
    return Built(request.checkpoint, layout.onnx, layout.ir("FP16"), layout.ir(INT8), theirs)


def _feed(frame: Frame) -> dict[str, np.ndarray]:
    return {
        name: np.ascontiguousarray(picture[None, :, :, ::-1].transpose(0, 3, 1, 2), np.float32)
        for name, picture in (("src", frame.src), ("bgr", frame.bgr))
    }


def _compiled(xml: Path, hint: str, goal: str) -> openvino.CompiledModel:
    config = {"PERFORMANCE_HINT": goal}
    if hint == "f32":
        config["INFERENCE_PRECISION_HINT"] = "f32"
    return openvino.Core().compile_model(xml, "CPU", config)


def _in_turn(work: Mapping[str, Infer], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, one after the other, `rounds` times; the first round does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for round_number in range(rounds + 1):
        for name, infer in work.items():
            began = time.perf_counter()
            infer()
            if round_number:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def _ratio(slower: Sequence[float], faster: Sequence[float]) -> float:
    return statistics.median(one / other for one, other in zip(slower, faster, strict=True))


def _latency(built: Built, frame: Frame, hint: str, medians: dict[str, float]) -> list[Figure]:
    feed = _feed(frame)
    work: dict[str, Infer] = {}
    for name, xml in built.forms(hint).items():
        request = _compiled(xml, hint, "LATENCY").create_infer_request()
        for port, array in feed.items():
            request.set_tensor(port, openvino.Tensor(array))
        work[name] = request.infer
    seconds = _in_turn(work, ROUNDS)
    for name, values in seconds.items():
        medians[f"{name}, {hint}"] = statistics.median(values)
    figures = [
        Figure(f"latency, {name}, {hint}", 1000 * medians[f"{name}, {hint}"], "ms")
        for name in seconds
    ]
    for name, values in list(seconds.items())[1:]:
        ratio = _ratio(seconds["omz"], values)
        target = TARGETS[name, hint]
        label = f"Open Model Zoo / {name}, latency, {hint}"
        figures.append(Figure(label, ratio, "x", target, "at least"))
    return figures


def _throughput(built: Built, frame: Frame, hint: str) -> list[Figure]:
    feed = _feed(frame)
    work: dict[str, Infer] = {}
    for name, xml in built.forms(hint).items():
        queue = openvino.AsyncInferQueue(_compiled(xml, hint, "THROUGHPUT"))
        work[name] = partial(_burst, queue, feed)
    seconds = _in_turn(work, SLOW_ROUNDS)
    figures = []
    for name, values in list(seconds.items())[1:]:
        rate = BURST / statistics.median(values)
        ratio = _ratio(seconds["omz"], values)
        figures.append(Figure(f"throughput, {name}, {hint}", rate, "fps"))
        figures.append(Figure(f"{name} / Open Model Zoo, throughput, {hint}", ratio, "x"))
    return figures


def _burst(queue: openvino.AsyncInferQueue, feed: Mapping[str, np.ndarray]) -> None:
    for _ in range(BURST):
        queue.start_async(feed)
    queue.wait_all()


def _shares(medians: Mapping[str, float]) -> list[Figure]:
    """Share of the machine's peak rate that the model reaches, counting useful work only."""
    useful = profile().flops / 1e9
    figures = []
    for hint, target in (("f32", 0.45), ("default", None)):
        peak = peak_gflops(hint)
        figures.append(Figure(f"the machine's rate, a large convolution, {hint}", peak, "GF/s"))
        for name in ("omz", "ours"):
            share = useful / medians[f"{name}, {hint}"] / peak
            goal = target if name == "ours" else None
            figures.append(
                Figure(
                    f"share of it on {useful:.2f} GFLOP, {name}, {hint}",
                    share,
                    "",
                    goal,
                    "at least",
                )
            )
    return figures


def _others(built: Built, frame: Frame) -> list[Figure]:
    settings = export_settings(read_model(builtin_config()))
    original, session = PyTorchRuntime(built.checkpoint, settings), OnnxRuntime(built.onnx)
    work: dict[str, Infer] = {
        "PyTorch eager, f32": partial(original.infer, frame.src, frame.bgr),
        "ONNX Runtime, f32": partial(session.infer, frame.src, frame.bgr),
    }
    seconds = _in_turn(work, SLOW_ROUNDS)
    return [
        Figure(f"latency, {name}", 1000 * statistics.median(values), "ms")
        for name, values in seconds.items()
    ]


def _loading(built: Built, frame: Frame) -> list[Figure]:
    """Time loading and the first frame: a dynamic graph is partly compiled at the first frame."""
    feed = _feed(frame)
    pair = {"omz": built.omz, "ours": built.ours}
    work: dict[str, Infer] = {}
    for name, xml in pair.items():
        work[name] = partial(_compiled, xml, "default", "LATENCY")
        work[f"{name}, first"] = partial(_first_result, xml, feed)
    seconds = _in_turn(work, 5)
    first = _ratio(seconds["ours, first"], seconds["omz, first"])
    return [
        Figure("read and compile, ours", statistics.median(seconds["ours"]), "s"),
        Figure("ours / Open Model Zoo, load", _ratio(seconds["ours"], seconds["omz"]), "x", 0.7),
        Figure("ours / Open Model Zoo, load and first frame", first, "x"),
    ]


def _first_result(xml: Path, feed: Mapping[str, np.ndarray]) -> object:
    return _compiled(xml, "default", "LATENCY")(feed)


def _memory(built: Built) -> list[Figure]:
    figures = []
    for hint in ("f32", "default"):
        used = {}
        for name, xml in (("omz", built.omz), ("ours", built.ours)):
            command = [sys.executable, "-m", "benchmarks.memory", str(xml), hint]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            used[name] = float(done.stdout)
        if used["ours"]:
            figures.append(Figure(f"peak memory, ours, {hint}", used["ours"], "MiB"))
            ratio = used["ours"] / used["omz"]
            figures.append(Figure(f"ours / Open Model Zoo, peak memory, {hint}", ratio, "x", 1.0))
    return figures


def _larger(folder: Path, size: tuple[int, int], scale: float, pixels: int) -> list[Figure]:
    built = _build(folder, size, scale, pixels, omz=False)
    feed = _feed(composite(2, *size))
    work: dict[str, Infer] = {}
    for hint in ("f32", "default"):
        request = _compiled(built.ours, hint, "LATENCY").create_infer_request()
        for port, array in feed.items():
            request.set_tensor(port, openvino.Tensor(array))
        work[hint] = request.infer
    seconds = _in_turn(work, SLOW_ROUNDS)
    return [
        Figure(f"latency at {size[0]}x{size[1]}, {hint}", 1000 * statistics.median(found), "ms")
        for hint, found in seconds.items()
    ]


def _plot(medians: Mapping[str, float], target: Path) -> None:
    from matplotlib.figure import Figure as Picture

    picture = Picture(figsize=(7, 2.6), layout="constrained")
    axes = picture.subplots()
    names = list(medians)[::-1]
    bars = axes.barh(names, [1000 * medians[name] for name in names])
    axes.bar_label(bars, fmt="%.0f ms", padding=3)
    axes.set(title="latency of one frame, 1280x720", xlabel="ms")
    axes.margins(x=0.15)
    target.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(target, format="png", dpi=110)


if __name__ == "__main__":
    sys.exit(main())
