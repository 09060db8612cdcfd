"""Settings read from argument lists; other packages import them from here."""

from toolchain.catalog.argument_list import substitute
from toolchain.catalog.conversion_arguments import ConversionSettings, conversion_settings
from toolchain.catalog.export_arguments import (
    ExportSettings,
    export_settings,
    with_overrides,
)

__all__ = [
    "ConversionSettings",
    "ExportSettings",
    "conversion_settings",
    "export_settings",
    "substitute",
    "with_overrides",
]
