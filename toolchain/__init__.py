"""From the published background-matting-mobilenetv2 checkpoint to a verified OpenVINO IR."""

import sys

__version__ = "0.1.0"

# OpenVINO (on import, by way of its converter) and NNCF report to their makers through this
# package, and leave an identity in the home folder.  Where it can't be imported they go without.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
