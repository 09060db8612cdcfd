"""A frame and a plate with the outputs of each IR, to compare with elsewhere."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from toolchain.definitions.arrays import Pixels
from toolchain.definitions.ports import INPUTS, OUTPUTS
from toolchain.frames.generated import composite
from toolchain.runtimes.sample import infer_images
from toolchain.stages.package.accepted import AcceptedBuild
from toolchain.stages.package.contents import Item
from toolchain.stages.package.request import PackageRequest

SEED = 2026
FOLDER = "sample"
HINT = "f32"
DIFFERENT_PATCHES = 1e-3  # share of the patches, where the limits do not state one


def make_sample_files(request: PackageRequest, build: AcceptedBuild) -> list[Item]:
    """Make PNGs of 8 bits: the inputs (RGB), and the outputs of each IR at f32."""
    settings = build.validation["settings"]
    frame = composite(SEED, settings["width"], settings["height"])
    items = [
        Item(_input_path(port), _encode_png(getattr(frame, port)), "sample-input")
        for port in INPUTS
    ]
    for precision in build.precisions:
        found = infer_images(request.layout.ir(precision), frame.src, frame.bgr)
        items += [
            Item(_output_path(precision, port), _encode_png(found[port]), "sample-output")
            for port in OUTPUTS
        ]
    return items


def describe_sample(build: AcceptedBuild) -> dict[str, Any]:
    """Describe the files for the manifest, with the share of values that may differ."""
    return {
        "hint": HINT,
        "inputs": {port: _input_path(port) for port in INPUTS},
        "expected": [
            {
                "precision": precision,
                "ir": next(name for name in build.models if name.startswith(f"{precision}/")),
                "outputs": {port: _output_path(precision, port) for port in OUTPUTS},
                "different": _get_allowed_share(build, precision),
            }
            for precision in build.precisions
        ],
    }


def _get_allowed_share(build: AcceptedBuild, precision: str) -> float:
    """Get the share of patches that may be chosen differently from the limits of the validation."""
    for run in build.validation["runs"]:
        bounds = (run["limits"] or {}).get("bounds") or {}
        if (run["form"], run["hint"]) == (precision, HINT) and bounds.get("different_patches"):
            return float(bounds["different_patches"])
    return DIFFERENT_PATCHES


def _input_path(port: str) -> str:
    return f"{FOLDER}/{port}.png"


def _output_path(precision: str, port: str) -> str:
    return f"{FOLDER}/{precision}/{port}.png"


def _encode_png(pixels: Pixels) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png", compress_level=9)
    return stream.getvalue()
