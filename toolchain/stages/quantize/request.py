"""What to quantize, and the result."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toolchain.catalog.records import Tolerance
from toolchain.errors import QuantizationError

Device = Literal["ANY", "CPU", "GPU", "NPU"]
DEVICES: tuple[Device, ...] = ("ANY", "CPU", "GPU", "NPU")
RECORD = "quantization.json"  # in the folder of the IR: frames, settings, figures
CALIBRATION_FRAMES = 24  # more frames hardly change the ranges
# Seeds for calibration and for measuring are disjoint; validation and evaluation use 2026 and up.
CALIBRATION_SEED = 5_000_000
EVALUATION_SEED = 2026


@dataclass(frozen=True)
class QuantizeRequest:
    """One IR to quantize.

    Attributes:
        source: The float IR to quantize.
        reference: The IR, run at f32, that the result is compared with.
        xml: Path of the xml; the bin is written next to it.
        tolerances: Limits by variant; the limits of FP16-INT8 on metrics against ground truth
            count.
        ignored: Layers that stay in float; "decoder" includes all of its layers.
        dataset: Folder of frames and plates for calibration, see `frames.pairs.read_pairs`; None
            for generated composites.
        calibration: Largest number of frames for calibration.
        composites: Number of generated frames on which the accuracy is measured.
        device: Target device, by NNCF's names.
    """

    source: Path
    reference: Path
    xml: Path
    tolerances: tuple[Tolerance, ...]
    ignored: tuple[str, ...] = ()
    dataset: Path | None = None
    calibration: int = CALIBRATION_FRAMES
    composites: int = 6
    device: Device = "ANY"


@dataclass(frozen=True)
class QuantizeResult:
    """The quantized IR.

    Attributes:
        xml: Path of the xml.
        xml_size: Size of the xml in bytes.
        bin_size: Size of the bin in bytes.
        quantized: Quantized layers.
        kept: Layers that stay in float.
        figures: Figures by precision hint, by the keys of limits.
    """

    xml: Path
    xml_size: int
    bin_size: int
    quantized: tuple[str, ...]
    kept: tuple[str, ...]
    figures: Mapping[str, Mapping[str, float]]


def require_nncf() -> None:
    """Check that NNCF is installed.

    Raises:
        QuantizationError: It is not; the hint shows how to install it.
    """
    if importlib.util.find_spec("nncf") is None:
        raise QuantizationError(
            "quantization needs NNCF, which is not installed",
            hint="Install the extra `quantize`: pip install '.[quantize]'.",
        )
