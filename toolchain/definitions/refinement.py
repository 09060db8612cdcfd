"""Refine modes: which 4 x 4 pixel patches the refiner corrects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

RefineMode = Literal["sampling", "thresholding", "full"]


@dataclass(frozen=True)
class Refinement:
    """One row of the table of refine modes; `network.refiner.Selection` implements it.

    Attributes:
        key: Name of the mode in model.yml, on the command line and in JSON records.
        setting: Name of the export setting that it uses, "" if it uses none.
        summary: One line for people; export settings are placeholders.
    """

    key: RefineMode
    setting: Literal["sample_pixels", "threshold", ""]
    summary: str


REFINE_MODES: tuple[Refinement, ...] = (
    Refinement(
        "sampling",
        "sample_pixels",
        "{sample_pixels} pixels with the largest expected error refined",
    ),
    Refinement(
        "thresholding", "threshold", "patches refined where the expected error is over {threshold}"
    ),
    Refinement("full", "", "every patch refined"),
)
REFINE_MODE_KEYS = tuple(mode.key for mode in REFINE_MODES)


def summarize_refinement(settings: Mapping[str, Any]) -> str:
    """Describe the refinement in one line.

    Args:
        settings: Export settings by name, as in JSON records: "mode" and the setting that it uses.

    Returns:
        The summary; the mode itself if it is not in the table.
    """
    for mode in REFINE_MODES:
        if mode.key == settings["mode"]:
            return mode.summary.format_map(settings)
    return str(settings["mode"])
