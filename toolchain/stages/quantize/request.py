"""What to quantise, and what came of it."""

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
RECORD = "quantization.json"  # beside the IR: frames, settings, figures
CALIBRATION_FRAMES = 24  # to calibrate on; with more the ranges hardly move
# Composites to calibrate on are none of those to judge, validate and evaluate on (2026 and up).
CALIBRATION_SEED = 5_000_000
EVALUATION_SEED = 2026


@dataclass(frozen=True)
class QuantizeRequest:
    """One quantised IR to make.

    `source`: the float IR whose unquantised parts the result keeps.  `reference`: the IR, run at
    f32, that the result is held against.  `tolerances`: those of the form FP16-INT8 count, of
    these the limits on metrics against a known truth.  `ignored`: layers that stay float, by the
    network's names; "decoder" means all of its layers.  `dataset`: a folder of frames and plates
    (see `frames.pairs.read_pairs`) to calibrate on, None for generated composites; of either
    at most `calibration` are used.  `composites`: generated frames that the result is judged on.
    `device`: what the result is made for, by NNCF's names.
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
    """Sizes in bytes.  `quantized`, `kept`: layers.  `figures`: by hint, as limits name them."""

    xml: Path
    xml_size: int
    bin_size: int
    quantized: tuple[str, ...]
    kept: tuple[str, ...]
    figures: Mapping[str, Mapping[str, float]]


def require_nncf() -> None:
    """Check that NNCF is installed.

    Raises:
        QuantizationError: It is not; the hint says how to get it.
    """
    if importlib.util.find_spec("nncf") is None:
        raise QuantizationError(
            "quantization needs NNCF, which is not installed",
            hint="Install the extra `quantize`: pip install '.[quantize]'.",
        )
