"""One frame and plate with what each IR makes of them, so that anybody can compare."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from toolchain.definitions.ports import OUTPUTS
from toolchain.stages.package.accepted import Accepted
from toolchain.stages.package.contents import Item
from toolchain.stages.package.request import PackageRequest

if TYPE_CHECKING:
    from toolchain.definitions.arrays import Pixels

SEED = 2026
FOLDER = "sample"
HINT = "f32"
PORTS = ("src", "bgr")
FLIPS = 1e-3  # of the patches, where the limits say nothing of them


def sample_files(request: PackageRequest, build: Accepted) -> list[Item]:
    """The inputs (RGB) and every IR's outputs at f32, as PNG of 8 bits."""
    from toolchain.frames.generated import composite
    from toolchain.runtimes.sample import outputs_of

    settings = build.validation["settings"]
    frame = composite(SEED, settings["width"], settings["height"])
    items = [Item(_input(port), _png(getattr(frame, port)), "sample-input") for port in PORTS]
    for precision in build.precisions:
        found = outputs_of(request.layout.ir(precision), frame.src, frame.bgr)
        items += [
            Item(_output(precision, port), _png(found[port]), "sample-output") for port in OUTPUTS
        ]
    return items


def sample_facts(build: Accepted) -> dict[str, Any]:
    """Which file is which, and how many values may differ by more than a step of 8 bits."""
    return {
        "hint": HINT,
        "inputs": {port: _input(port) for port in PORTS},
        "expected": [
            {
                "precision": precision,
                "ir": next(name for name in build.ports if name.startswith(f"{precision}/")),
                "outputs": {port: _output(precision, port) for port in OUTPUTS},
                "different": _flips(build, precision),
            }
            for precision in build.precisions
        ],
    }


def _flips(build: Accepted, precision: str) -> float:
    """The share of patches that may be chosen differently, by the limits it was validated under."""
    for run in build.validation["runs"]:
        limits = run["limits"] or {}
        if (run["form"], run["hint"]) == (precision, HINT) and limits.get("different_patches"):
            return float(limits["different_patches"])
    return FLIPS


def _input(port: str) -> str:
    return f"{FOLDER}/{port}.png"


def _output(precision: str, port: str) -> str:
    return f"{FOLDER}/{precision}/{port}.png"


def _png(pixels: Pixels) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png", compress_level=9)
    return stream.getvalue()
