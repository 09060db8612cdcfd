"""`matting quantize`, and what `matting build` needs to know of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain.cli.numbers import positive

if TYPE_CHECKING:
    from toolchain.pipeline.request import Quantization

TEXT = "make the FP16-INT8 IR from the FP16 one, unless it comes out worse than the limits allow"
EXAMPLE = "matting quantize --weights bundled --dataset captures"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of FP16-INT8 to `parser`."""
    group = parser.add_argument_group("FP16-INT8")
    group.add_argument(
        "--dataset",
        type=Path,
        metavar="DIR",
        help="frames and clean plates to calibrate on (default: generated ones)",
    )
    group.add_argument(
        "--calibration", type=positive, metavar="N", help="calibrate on at most N frames (24)"
    )
    group.add_argument(
        "--spare",
        action="append",
        default=[],
        metavar="LAYER",
        help="a layer to leave in float beside the usual ones, such as decoder.conv2 (repeatable)",
    )
    if not parser.get_default("frames"):
        group.add_argument(
            "--frames",
            type=positive,
            default=6,
            metavar="N",
            help="generated frames to judge on (6)",
        )


def wanted(options: argparse.Namespace) -> Quantization:
    """What the options say; the defaults where a command lacks them."""
    from toolchain.pipeline.request import Quantization

    usual = Quantization()
    return Quantization(
        dataset=getattr(options, "dataset", None),
        calibration=getattr(options, "calibration", None) or usual.calibration,
        ignored=tuple(getattr(options, "spare", ())),
    )
