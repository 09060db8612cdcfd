"""Was it fed with something else than it takes?  Channels, range, and the two frames themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import numpy as np

from toolchain.definitions.arrays import Pixels
from toolchain.runtimes.base import Inference
from toolchain.runtimes.diagnostics.experiment import Experiment, Suspect

RANGES = {
    "missing /255": (1 / 255, "Values divided by 255 before they are fed"),
    "a second /255": (255.0, "Values multiplied by 255 before they are fed"),
}
SWAPPED = "swapped channels"


def experiments(suspect: Suspect) -> Iterator[Experiment]:
    """The same model, fed otherwise; both at once as well, since both are easily forgotten."""
    yield _fed(suspect, SWAPPED, "Red and blue exchanged before they are fed", swap=True)
    for name, (factor, said) in RANGES.items():
        yield _fed(suspect, name, said, factor=factor)
        both = f"{said}, red and blue exchanged"
        yield _fed(suspect, f"{SWAPPED}, {name}", both, factor=factor, swap=True)
    yield Experiment(
        "src and bgr exchanged",
        "The frame fed as the plate and the plate as the frame",
        lambda: (
            suspect.runtime.infer(suspect.frame.bgr, suspect.frame.src),
            suspect.reference,
        ),
    )
    yield Experiment(
        "swapped output channels",
        "Red and blue of fgr exchanged after they were read",
        lambda: (
            replace(suspect.found, fgr=np.ascontiguousarray(suspect.found.fgr[..., ::-1])),
            suspect.reference,
        ),
    )


def _fed(
    suspect: Suspect, hypothesis: str, found: str, *, factor: float = 1.0, swap: bool = False
) -> Experiment:
    def run() -> tuple[Inference, Inference]:
        src, bgr = (
            _changed(pixels, factor, swap=swap) for pixels in (suspect.frame.src, suspect.frame.bgr)
        )
        return suspect.runtime.infer(src, bgr), suspect.reference

    return Experiment(hypothesis, found, run)


def _changed(pixels: Pixels, factor: float, *, swap: bool) -> Pixels:
    """Runtimes turn pixels into floats first of all, so they take floats of any range as well."""
    ordered = pixels[..., ::-1] if swap else pixels
    return ordered if factor == 1 else cast("Pixels", ordered.astype(np.float32) * factor)
