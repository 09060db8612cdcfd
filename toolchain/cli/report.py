"""The options of `matting report`."""

from __future__ import annotations

import argparse
from pathlib import Path

from toolchain.cli.numbers import positive


def add_report(parser: argparse.ArgumentParser) -> None:
    """Which frames are shown."""
    parser.add_argument(
        "--inputs",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="a folder of real frames and clean plates to show as well (repeatable)",
    )
    parser.add_argument(
        "--frames", type=positive, default=3, metavar="N", help="generated frames to show (3)"
    )
