"""Argument lists as typed, frozen settings; the one place that the stages import them from."""

from toolchain.catalog.argument_list import substitute
from toolchain.catalog.conversion_arguments import ConversionSettings, conversion_settings
from toolchain.catalog.export_arguments import (
    ExportSettings,
    RefineMode,
    export_settings,
    with_overrides,
)

__all__ = [
    "ConversionSettings",
    "ExportSettings",
    "RefineMode",
    "conversion_settings",
    "export_settings",
    "substitute",
    "with_overrides",
]
