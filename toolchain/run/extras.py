"""The optional packages, asked for when they are needed."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from toolchain.errors import ToolchainError

# For decoding and for encoding each: far quicker than the model, and cores are for the model.
CODING_THREADS = max(1, (os.cpu_count() or 1) // 2)


def video() -> Any:
    """PyAV, which brings FFmpeg."""
    return _needed("av", "Videos need PyAV")


def opencv() -> Any:
    """OpenCV."""
    return _needed("cv2", "Cameras and --align need OpenCV")


def _needed(module: str, why: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ToolchainError(
            f"{why}, which is not installed ({error})",
            hint="Install it: `pip install 'background-matting-toolchain[video]'`.",
        ) from error
