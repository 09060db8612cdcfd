"""Bare asynchronous inference: the baseline for evaluation and `matting run`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.outcome import Figure

if TYPE_CHECKING:
    from toolchain.definitions.variants import Hint

RATE = 0.85
HINTS: tuple[Hint, ...] = ("f32", "default")


def time_bare(xml: Path, hint: str, feeds: Sequence[Mapping[str, Any]], frames: int) -> float:
    """Seconds to load, compile for throughput, and infer `frames` inputs in memory."""
    import openvino

    began = time.perf_counter()
    config = {"PERFORMANCE_HINT": "THROUGHPUT"}
    if hint == "f32":
        config["INFERENCE_PRECISION_HINT"] = "f32"
    core = openvino.Core()
    queue = openvino.AsyncInferQueue(core.compile_model(core.read_model(xml), "CPU", config))
    for number in range(frames):
        queue.start_async(feeds[number % len(feeds)], share_inputs=True)
    queue.wait_all()
    return time.perf_counter() - began


def compare_with_bare(
    what: str,
    hint: str,
    frames: int,
    rounds: int,
    ours: Callable[[], float],
    bare_one: Callable[[], float],
) -> list[Figure]:
    """Measure frames per second and the rate relative to bare inference; the runs alternate."""
    ratios, rates = [], []
    for turn in range(rounds):
        seconds = {}
        for us in (turn % 2 == 1, turn % 2 == 0):
            seconds[us] = ours() if us else bare_one()
        ratios.append(seconds[False] / seconds[True])
        rates.append(frames / seconds[True])
    name = f"its rate against bare inference at {hint} (median of pairs)"
    return [
        Figure(f"{what} at {hint}", statistics.median(rates), "f/s"),
        Figure(name, statistics.median(ratios), "x", RATE, "at least"),
    ]
