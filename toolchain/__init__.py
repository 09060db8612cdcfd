"""From the published background-matting-mobilenetv2 checkpoint to a verified OpenVINO IR."""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolchain.api.matte import Matte
    from toolchain.api.matting import Matting

__all__ = ["Matte", "Matting", "__version__"]
__version__ = "0.1.0"

# OpenVINO (on import, by way of its converter) and NNCF report to their makers through this
# package, and leave an identity in the home folder.  Where it can't be imported they go without.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def __getattr__(name: str) -> Any:  # when they are asked for: importing this loads nothing heavy
    if name in ("Matte", "Matting"):
        from importlib import import_module

        return getattr(import_module(f"toolchain.api.{name.lower()}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
