"""Diagnostics of a failed variant: one experiment for each common mistake, which reverts it.

Experiments use other inputs (channels, /255, frame and plate exchanged), another precision (bf16,
FP16), repaired resizes (align_corners), or a reference with misaligned patches.  The caller
compares their outputs and draws the conclusions.
"""

from __future__ import annotations

from collections.abc import Iterator

from toolchain.runtimes.diagnostics import inputs, patches, precision, resizes
from toolchain.runtimes.diagnostics.experiment import Experiment, FailedVariant

__all__ = ["Experiment", "FailedVariant", "build_experiments"]


def build_experiments(suspect: FailedVariant) -> Iterator[Experiment]:
    """Yield every experiment that applies to the suspect, one at a time."""
    for module in (inputs, precision, resizes, patches):
        yield from module.build_experiments(suspect)
