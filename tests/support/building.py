"""Builds of the small model, and the files that they make."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from toolchain.catalog.reader import read_model
from toolchain.pipeline.build import BuildResult, build, plan_build
from toolchain.pipeline.request import BuildRequest
from toolchain.pipeline.weights import choose_weights

ROOT = Path(__file__).parents[2]
NAME = "small-matting"
PROMISED = (
    "pytorch_mobilenetv2.pth",
    f"{NAME}.onnx",
    f"FP32/{NAME}.xml",
    f"FP32/{NAME}.bin",
    f"FP16/{NAME}.xml",
    f"FP16/{NAME}.bin",
    "validation.json",
    "report.html",
    "report.md",
)
SAME_BYTES = PROMISED[:-3]  # not the verdict: the last digits of figures depend on the machine
ENTRIES = ["download", "export", "convert-FP32", "convert-FP16", "validate", "report"]


def small_request(config: Path, output: Path, **changes: Any) -> BuildRequest:
    model = read_model(config)
    weights = choose_weights(model, "upstream", output)
    return BuildRequest(model, weights, output, composites=1, **changes)


def build_as_planned(request: BuildRequest) -> BuildResult:
    """Build; the plan must list exactly what then runs, and touch nothing."""
    before = snapshot(request.output)
    plan = plan_build(request)
    assert snapshot(request.output) == before
    result = build(request)
    assert [(item.entry, item.action == "run") for item in plan] == [
        (outcome.entry, outcome.ran) for outcome in result.outcomes
    ]
    return result


def ran(result: BuildResult) -> list[str]:
    return [outcome.entry for outcome in result.outcomes if outcome.ran]


def snapshot(folder: Path) -> dict[str, tuple[int, int]] | None:
    """Everything in `folder` with size and time of its last change; None if it does not exist."""
    if not folder.exists():
        return None
    found = {path: path.stat() for path in folder.rglob("*")}
    return {str(path): (stat.st_size, stat.st_mtime_ns) for path, stat in found.items()}


def contents(folder: Path, names: tuple[str, ...] = SAME_BYTES) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}


def command(request: BuildRequest) -> list[str]:
    config, output = request.model.config_path, request.output
    arguments = ["--config", str(config), "-o", str(output), "--frames", "1"]
    return [sys.executable, "-m", "toolchain", "build", *arguments]
