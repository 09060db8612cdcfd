"""What often goes wrong with a converted model, each as an experiment that undoes it.

Fed otherwise (channels, /255, the two frames), in another precision (bf16, FP16), with resizes
repaired (align_corners), or against an original whose patches are shifted.  Nothing is concluded
here: who asks compares the outputs of each experiment.
"""

from __future__ import annotations

from collections.abc import Iterator

from toolchain.runtimes.diagnostics import inputs, patches, precision, resizes
from toolchain.runtimes.diagnostics.experiment import Experiment, Suspect

__all__ = ["Experiment", "Suspect", "experiments"]


def experiments(suspect: Suspect) -> Iterator[Experiment]:
    """Every experiment that fits the suspect, one at a time."""
    for kind in (inputs, precision, resizes, patches):
        yield from kind.experiments(suspect)
