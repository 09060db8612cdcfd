"""Candidate cause: the refined patches are misaligned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import torch

from toolchain.definitions.ports import CELL
from toolchain.metrics.errors import REFINED
from toolchain.network.refiner import Shift
from toolchain.runtimes.base import Inference
from toolchain.runtimes.diagnostics.experiment import Experiment, FailedVariant, Outcome

CAUSE = "shifted patch"
SAMPLE = 64  # patches used by the search
HALF, FULL = 2, 4  # search radius in pixels, at half and at full size


def build_experiments(suspect: FailedVariant) -> Iterator[Experiment]:
    """Yield a reference whose patches are misplaced, by the offset that fits best."""
    cells = torch.from_numpy(np.argwhere(suspect.reference.ref & suspect.found.ref))
    if not len(cells):
        yield Experiment(CAUSE, "No patch was refined by both", None)
        return
    sample = cells[:: max(1, len(cells) // SAMPLE)]
    refiner = suspect.original.refiner_on(suspect.frame.src, suspect.frame.bgr)

    def distance(shift: Shift) -> float:
        values = refiner.outputs(sample, shift)
        return float(np.abs(values - _at(suspect.found, sample)).mean())

    best = min(_shifts(), key=distance)
    text = (
        f"Patches of the reference cut at an offset of {_shown(best.half)} half-size and "
        f"{_shown(best.full)} full-size pixels (down, right)"
    )
    if best == Shift():
        yield Experiment(CAUSE, "Patches agree best without an offset", None)
        return

    def run() -> Outcome:
        pha, fgr = suspect.reference.pha.copy(), suspect.reference.fgr.copy()
        every = torch.from_numpy(np.argwhere(suspect.reference.ref))
        values = refiner.outputs(every, best)
        for (row, column), patch in zip(every.tolist(), values, strict=True):
            place = np.s_[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
            pha[place] = patch[0]
            fgr[place] = patch[1:].transpose(1, 2, 0)
        inner = {name: value for name, value in suspect.reference.inner.items() if name != REFINED}
        return suspect.found, replace(suspect.reference, pha=pha, fgr=fgr, inner=inner)

    yield Experiment(CAUSE, text, run)


def _shifts() -> list[Shift]:
    """List offsets of both windows together, and of each alone; no offset comes first."""
    half = list(product(range(-HALF, HALF + 1), range(-HALF, HALF + 1)))
    full = list(product(range(-FULL, FULL + 1), range(-FULL, FULL + 1)))
    together = [Shift((y, x), (2 * y, 2 * x)) for y, x in half]
    found = [Shift(), *together, *(Shift(half=at) for at in half), *(Shift(full=at) for at in full)]
    return list(dict.fromkeys(found))


def _at(found: Inference, cells: torch.Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """N x 4 x 4 x 4: pha and fgr of the cells."""
    both = np.concatenate([found.pha[None], found.fgr.transpose(2, 0, 1)])
    return np.stack(
        [
            both[:, row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
            for row, column in cells.tolist()
        ]
    )


def _shown(shift: tuple[int, int]) -> str:
    return f"({shift[0]:+d}, {shift[1]:+d})"
