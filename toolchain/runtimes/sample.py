"""The sample of a package, run through its IR and compared as 8-bit images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from toolchain.definitions.arrays import Pixels
from toolchain.definitions.ports import OUTPUTS
from toolchain.errors import FrameError, ValidationError
from toolchain.pictures.encode import to_bytes
from toolchain.runtimes.openvino_api import openvino
from toolchain.runtimes.openvino_runtime import check_ports, precision_config, prepare_inputs

STEP = 1  # of 8 bits: as far apart two roundings of nearly equal values can fall


@dataclass(frozen=True)
class ImageDifference:
    """Difference of two 8-bit images.

    Attributes:
        different: Share of the values that differ by more than `STEP`.
        mean: Mean absolute difference, 0..255.
    """

    different: float
    mean: float


def infer_images(xml: Path, src: Pixels, bgr: Pixels, device: str = "CPU") -> dict[str, Pixels]:
    """Run an IR at f32.

    Args:
        xml: The IR.
        src: The frame, H x W x 3 uint8 RGB of the model's size.
        bgr: The clean plate, likewise.
        device: Device by OpenVINO's name.

    Returns:
        "pha" (H x W) and "fgr" (H x W x 3, RGB), uint8 0..255.

    Raises:
        ValidationError: The IR cannot be run on the device, or has unexpected inputs or outputs.
    """
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # files must be free to be removed
    try:
        model = core.read_model(xml)
        check_ports(model, xml)
        compiled = core.compile_model(model, device, precision_config("f32"))
        found = compiled(prepare_inputs(compiled.inputs, src, bgr))
        pha, fgr = (np.array(found[name]) for name in OUTPUTS)
    except RuntimeError as error:
        raise ValidationError(
            f"{xml}: OpenVINO can't run it on {device}: {str(error).strip().splitlines()[-1]}",
            hint="Check the name of the device, its driver and the version of OpenVINO.",
        ) from error
    return {"pha": to_bytes(pha[0, 0]), "fgr": to_bytes(fgr[0].transpose(1, 2, 0))}


def compare_images(found: Pixels, expected: Pixels) -> ImageDifference:
    """Compare two images; different shapes count as fully different."""
    if found.shape != expected.shape:
        return ImageDifference(1.0, 255.0)
    apart = np.abs(found.astype(np.int16) - expected)
    return ImageDifference(float((apart > STEP).mean()), float(apart.mean()))


def load_image(path: Path) -> Pixels:
    """Load an 8-bit image without conversion.

    Raises:
        FrameError: The file is not a readable image.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image, dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FrameError(f"{path}: not a readable picture: {error}", path=path) from error
