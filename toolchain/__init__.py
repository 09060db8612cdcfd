"""From the published background-matting-mobilenetv2 checkpoint to a verified OpenVINO IR."""

__version__ = "0.1.0"
