"""From the published background-matting-mobilenetv2 checkpoint to a verified OpenVINO IR."""

import sys

__version__ = "0.1.0"

# OpenVINO (on import, by way of its converter) reports to its makers through this package, and
# leaves an identity in the home folder.  Where it can't be imported it goes without.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
