"""Plot of loss and held-out error over the steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from toolchain.workspace.atomic import atomic_write


def plot_history(
    losses: Sequence[float], held_out: Sequence[tuple[int, float]], target: Path
) -> None:
    """Write a PNG; losses are averaged over windows, as those of single steps are noisy."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    window = max(1, len(losses) // 200)
    whole = len(losses) // window * window
    means = np.asarray(losses[:whole]).reshape(-1, window).mean(1)
    left.plot(np.arange(len(means)) * window + window / 2, means)
    left.set(title="training loss", xlabel="step", yscale="log")
    right.plot([step for step, _ in held_out], [found for _, found in held_out])
    right.set(title="held-out alpha MAD x1000, averaged weights", xlabel="step", yscale="log")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    with atomic_write(target) as temporary:
        figure.savefig(temporary, format="png", dpi=100, metadata={"Software": None})
