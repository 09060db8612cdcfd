"""The sample of a package, run through its IR and compared as 8-bit images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from toolchain.definitions.arrays import Pixels
from toolchain.definitions.ports import OUTPUTS
from toolchain.errors import FrameError, ValidationError
from toolchain.pictures.encode import to_bytes
from toolchain.printable import printable
from toolchain.runtimes.openvino_api import last_line, openvino
from toolchain.runtimes.openvino_runtime import check_ports, precision_config, prepare_inputs

MAX_PIXELS = 4096 * 4096
STEP = 1  # of 8 bits: largest difference from rounding of nearly equal values


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
        _check_sizes(model, xml, src, bgr)
        compiled = core.compile_model(model, device, precision_config("f32"))
        found = compiled(prepare_inputs(compiled.inputs, src, bgr))
        pha, fgr = (np.array(found[name]) for name in OUTPUTS)
    except RuntimeError as error:
        raise ValidationError(
            f"{xml}: OpenVINO cannot run it on {device}: {last_line(error)}",
            hint="Check the name of the device, its driver and the version of OpenVINO.",
        ) from error
    return {"pha": to_bytes(pha[0, 0]), "fgr": to_bytes(fgr[0].transpose(1, 2, 0))}


def compare_images(found: Pixels, expected: Pixels) -> ImageDifference:
    """Compare two images; different shapes count as fully different."""
    if found.shape != expected.shape:
        return ImageDifference(1.0, 255.0)
    apart = np.abs(found.astype(np.int16) - expected)
    return ImageDifference(float((apart > STEP).mean()), float(apart.mean()))


def _check_sizes(model: Any, xml: Path, src: Pixels, bgr: Pixels) -> None:
    """Check, before anything is compiled, that the inputs have the size of the images."""
    height, width = src.shape[:2]
    expected = ([1, 3, height, width], [1, height, width, 3])
    shapes = [list(port.shape) for port in model.inputs]
    outputs = [list(port.shape) for port in model.outputs]
    good = outputs == [[1, channels, height, width] for channels in (1, 3)]
    if src.shape != bgr.shape or not good or any(shape not in expected for shape in shapes):
        raise ValidationError(
            f"{xml}: has inputs {shapes} and outputs {outputs}, the images are {width}x{height}",
            hint="Use the images and the model of one package.",
        )


def load_image(path: Path, mode: str) -> Pixels:
    """Load an 8-bit PNG without conversion.

    Args:
        path: The file.
        mode: Pillow's name of its channels, "RGB" or "L".

    Raises:
        FrameError: The file is not a readable PNG, is too large, or has other channels.
    """
    try:
        with Image.open(path, formats=("PNG",)) as image:
            size, found = image.size, image.mode
            if found == mode and size[0] * size[1] <= MAX_PIXELS:
                return np.asarray(image, dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = printable(str(error), 200)
        raise FrameError(f"{path}: not a readable image: {reason}", path=path) from error
    raise FrameError(
        f"{path}: {size[0]}x{size[1]} of channels {found}; "
        f"expected {mode} of 8 bits and at most {MAX_PIXELS:,} pixels",
        path=path,
    )
