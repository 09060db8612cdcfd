"""Candidate causes in inputs and outputs: channel order, value range, frame and plate exchanged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import numpy as np

from toolchain.definitions.arrays import Pixels
from toolchain.runtimes.diagnostics.experiment import Experiment, FailedVariant, Outcome

RANGES = {
    "missing /255": (1 / 255, "Input values divided by 255"),
    "a second /255": (255.0, "Input values multiplied by 255"),
}
SWAPPED = "swapped channels"


def build_experiments(suspect: FailedVariant) -> Iterator[Experiment]:
    """Yield the same model with other inputs; wrong order and wrong range also together."""
    yield _fed(suspect, SWAPPED, "Red and blue of the inputs exchanged", swap=True)
    for name, (factor, label) in RANGES.items():
        yield _fed(suspect, name, label, factor=factor)
        both = f"{label}, red and blue exchanged"
        yield _fed(suspect, f"{SWAPPED}, {name}", both, factor=factor, swap=True)
    yield Experiment(
        "src and bgr exchanged",
        "Frame and plate exchanged",
        lambda: (suspect.runtime.infer(suspect.frame.bgr, suspect.frame.src), None),
    )
    yield Experiment(
        "swapped output channels",
        "Red and blue of the output fgr exchanged",
        lambda: (
            replace(suspect.found, fgr=np.ascontiguousarray(suspect.found.fgr[..., ::-1])),
            None,
        ),
    )


def _fed(
    suspect: FailedVariant, hypothesis: str, found: str, *, factor: float = 1.0, swap: bool = False
) -> Experiment:
    def run() -> Outcome:
        src, bgr = (
            _changed(pixels, factor, swap=swap) for pixels in (suspect.frame.src, suspect.frame.bgr)
        )
        return suspect.runtime.infer(src, bgr), None

    return Experiment(hypothesis, found, run)


def _changed(pixels: Pixels, factor: float, *, swap: bool) -> Pixels:
    # Runtimes convert pixels to floats first, so they take floats of any range as well.
    ordered = pixels[..., ::-1] if swap else pixels
    return ordered if factor == 1 else cast("Pixels", ordered.astype(np.float32) * factor)
