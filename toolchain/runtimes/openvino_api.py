"""OpenVINO, imported without telemetry.  All other modules import it from here.

`operators` is the operator set, whose location depends on the release.
"""

from __future__ import annotations

from toolchain.printable import printable
from toolchain.workspace.third_party import without_telemetry

with without_telemetry():
    import openvino
    from openvino.preprocess import PrePostProcessor

    try:
        from openvino import opset13 as operators
    except ImportError:  # OpenVINO 2024
        from openvino.runtime import opset13 as operators

__all__ = ["PrePostProcessor", "last_line", "openvino", "operators"]


def last_line(error: Exception) -> str:
    """Return the last line of OpenVINO's message, which has the cause, printable and short."""
    return printable((str(error).strip().splitlines() or [type(error).__name__])[-1], 200)
