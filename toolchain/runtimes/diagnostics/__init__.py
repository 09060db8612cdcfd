"""What often goes wrong with a converted model, each as an experiment that undoes it.

Other inputs (channels, /255, frame and plate exchanged), another precision (bf16, FP16), repaired
resizes (align_corners), or a reference whose patches are misplaced.  Nothing is concluded here: the
caller compares the outputs of each experiment.
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
