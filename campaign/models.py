"""A model of a few kilobytes with the inputs and outputs of the network, and a package of it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from toolchain.definitions.ports import INPUTS, OUTPUTS
from toolchain.package.archive import write_archive
from toolchain.package.manifest import Manifest, make_entry

SIZE = (64, 48)  # width and height
NAME = "m"


def write_model(folder: Path) -> Path:
    """Write an IR whose alpha is the difference of its inputs; returns the .xml."""
    import numpy as np

    from toolchain.runtimes.openvino_api import openvino, operators

    width, height = SIZE
    src, bgr = (
        operators.parameter([1, 3, height, width], np.float32, name=name) for name in INPUTS
    )
    scale = operators.constant(np.float32(255))
    apart = operators.absolute(operators.subtract(src, bgr))
    axes = operators.constant(np.array([1], np.int64))
    pha = operators.divide(operators.reduce_mean(apart, axes, keep_dims=True), scale)
    fgr = operators.divide(src, scale)
    model = openvino.Model([pha, fgr], [src, bgr], NAME)
    for port, name in zip((*model.inputs, *model.outputs), (*INPUTS, *OUTPUTS), strict=True):
        port.get_tensor().set_names({name})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{NAME}.xml"
    openvino.save_model(model, path, compress_to_fp16=False)
    return path


def make_files(xml: Path) -> dict[str, tuple[bytes, str]]:
    """Make the files of a package with a sample: content and role by path."""
    import numpy as np

    from toolchain.runtimes.sample import infer_images

    rng = np.random.default_rng(7)
    src, bgr = rng.integers(0, 255, (2, SIZE[1], SIZE[0], 3), np.uint8)
    found = infer_images(xml, src, bgr)
    return {
        "FP32/m.xml": (xml.read_bytes(), "ir"),
        "FP32/m.bin": (xml.with_suffix(".bin").read_bytes(), "ir"),
        "README.md": (b"# a card\n", "card"),
        "model.yml": (b"name: m\n", "config"),
        "sample/src.png": (encode(src), "sample-input"),
        "sample/bgr.png": (encode(bgr), "sample-input"),
        "sample/FP32/pha.png": (encode(found["pha"]), "sample-output"),
        "sample/FP32/fgr.png": (encode(found["fgr"]), "sample-output"),
    }


FACTS: dict[str, Any] = {
    "config": "model.yml",
    "parameters": {"ports": {"FP32/m.xml": []}},
    "sample": {
        "inputs": {"src": "sample/src.png", "bgr": "sample/bgr.png"},
        "expected": [
            {
                "precision": "FP32",
                "ir": "FP32/m.xml",
                "outputs": {"pha": "sample/FP32/pha.png", "fgr": "sample/FP32/fgr.png"},
                "different": 0.001,
            }
        ],
    },
}


def write_package(
    target: Path, files: dict[str, tuple[bytes, str]], facts: dict[str, Any] | None = None
) -> Path:
    """Write an archive of these files, with a manifest that fits them."""
    entries = tuple(make_entry(path, *files[path]) for path in sorted(files))
    manifest = Manifest(NAME, "1", "plain", entries, FACTS if facts is None else facts)
    write_archive(manifest, {path: data for path, (data, _) in files.items()}, target)
    return target


def encode(pixels: Any, form: str = "PNG") -> bytes:
    """Encode an image."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def copy(facts: dict[str, Any]) -> dict[str, Any]:
    """Copy JSON."""
    copied: dict[str, Any] = json.loads(json.dumps(facts))
    return copied
