"""From the published background-matting-mobilenetv2 checkpoint to a verified OpenVINO IR."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolchain.api.matte import Matte
    from toolchain.api.matting import Matting

__all__ = ["Matte", "Matting", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import `Matte` and `Matting` on first use, so that `import toolchain` loads nothing heavy."""
    if name in ("Matte", "Matting"):
        from importlib import import_module

        return getattr(import_module(f"toolchain.api.{name.lower()}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
