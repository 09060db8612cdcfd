"""OpenVINO, imported without telemetry; the only module that imports it.

`operators`: the operator set, from where the installed release has it.
"""

from __future__ import annotations

from toolchain.workspace.third_party import without_telemetry

with without_telemetry():
    import openvino
    from openvino.preprocess import PrePostProcessor

    try:
        from openvino import opset13 as operators
    except ImportError:  # its place up to 2024
        from openvino.runtime import opset13 as operators

__all__ = ["PrePostProcessor", "openvino", "operators"]
