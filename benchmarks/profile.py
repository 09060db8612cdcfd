"""Time of each layer of a graph, from OpenVINO's counters.

python -m benchmarks.profile MODEL.xml [f32|default]    prints the layers that take longest
"""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import openvino

from benchmarks.outcome import Figure
from toolchain.frames.generated import composite

RUNS = 7
SHOWN = 30


class Layer(NamedTuple):
    """An executed layer; `kernel`: its implementation and precision."""

    kind: str
    name: str
    kernel: str


def layers(xml: Path, hint: str, feed: Mapping[str, np.ndarray]) -> dict[Layer, float]:
    """Milliseconds of each layer, median over runs, longest first."""
    config: dict[str, object] = {"PERFORMANCE_HINT": "LATENCY", "PERF_COUNT": True}
    if hint == "f32":
        config["INFERENCE_PRECISION_HINT"] = "f32"
    request = openvino.Core().compile_model(xml, "CPU", config).create_infer_request()
    found: dict[Layer, list[float]] = defaultdict(list)
    for run in range(RUNS + 1):
        request.infer(feed)
        for counter in request.profiling_info if run else ():  # the first one is a warm-up
            layer = Layer(counter.node_type, counter.node_name, counter.exec_type)
            found[layer].append(counter.real_time.total_seconds() * 1000)
    medians = {layer: statistics.median(times) for layer, times in found.items()}
    return dict(sorted(medians.items(), key=lambda item: -item[1]))


def sum_by_kind(label: str, times: Mapping[Layer, float], most: int = 6) -> list[Figure]:
    """List the types of layers that take longest, and the total."""
    sums: dict[str, float] = defaultdict(float)
    for layer, time in times.items():
        sums[layer.kind] += time
    longest = sorted(sums.items(), key=lambda item: -item[1])[:most]
    figures = [Figure(f"profile, {label}: {kind}", time, "ms") for kind, time in longest]
    return [*figures, Figure(f"profile, {label}: all layers", sum(sums.values()), "ms")]


def frame_feed(width: int, height: int) -> dict[str, np.ndarray]:
    """A composite as input of the IRs: 1 x 3 x H x W float32, BGR 0..255."""
    frame = composite(1, width, height)
    return {
        name: np.ascontiguousarray(picture[None, :, :, ::-1].transpose(0, 3, 1, 2), np.float32)
        for name, picture in (("src", frame.src), ("bgr", frame.bgr))
    }


def main(arguments: list[str]) -> int:
    """Print the layers of one model."""
    xml, hint = Path(arguments[0]), arguments[1] if len(arguments) > 1 else "default"
    for layer, time in list(layers(xml, hint, frame_feed(1280, 720)).items())[:SHOWN]:
        print(f"{time:8.2f} ms  {layer.kind:24} {layer.kernel:28} {layer.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
