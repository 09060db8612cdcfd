"""OpenVINO, imported without telemetry.  All other modules import it from here.

`operators` is the operator set, whose location depends on the release.
"""

from __future__ import annotations

from toolchain.workspace.third_party import without_telemetry

with without_telemetry():
    import openvino
    from openvino.preprocess import PrePostProcessor

    try:
        from openvino import opset13 as operators
    except ImportError:  # OpenVINO 2024
        from openvino.runtime import opset13 as operators

__all__ = ["PrePostProcessor", "openvino", "operators"]
