"""Imports of the optional packages PyAV and OpenCV."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from toolchain.errors import ToolchainError

# For decoding and for encoding each. Both are much faster than inference, which gets the rest.
CODING_THREADS = max(1, (os.cpu_count() or 1) // 2)


def load_pyav() -> Any:
    """Import PyAV, which includes FFmpeg.

    Raises:
        ToolchainError: It is not installed.
    """
    return _load("av", "Videos need PyAV")


def load_opencv() -> Any:
    """Import OpenCV.

    Raises:
        ToolchainError: It is not installed.
    """
    return _load("cv2", "Cameras and --align need OpenCV")


def _load(module: str, reason: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ToolchainError(
            f"{reason}, which is not installed ({error})",
            hint="Install it: `pip install 'background-matting-toolchain[video]'`.",
        ) from error
