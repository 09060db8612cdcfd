"""OpenVINO's operators, wherever the installed release has them."""

from __future__ import annotations

try:
    from openvino import opset13 as operators
except ImportError:  # their place up to 2024
    from openvino.runtime import opset13 as operators

__all__ = ["operators"]
