"""The optional packages, asked for when they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from toolchain.errors import ToolchainError


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
