"""Which layers to leave in float: one group at a time, then the best together, each measured."""

from __future__ import annotations

from pathlib import Path

from toolchain.progress import Listener
from toolchain.stages.quantize.accuracy_gate import AccuracyGate
from toolchain.stages.quantize.calibration import CalibratedQuantizer
from toolchain.stages.quantize.layers import is_in_layers

MAX_LISTED = 5  # groups that are told


def suggest_ignored_layers(
    work: CalibratedQuantizer,
    gate: AccuracyGate,
    ignored: tuple[str, ...],
    trial: Path,
    listener: Listener,
) -> str:
    """What to leave in float beside `ignored` so that every limit is kept, or what comes nearest.

    `trial`: where the attempts are written.
    """
    groups = [
        group for group in work.groups if not all(is_in_layers(name, ignored) for name in group)
    ]

    def strain(more: tuple[str, ...]) -> float:
        work.write(trial, (*ignored, *more))
        return gate.strain(gate.figures(trial, lambda _: None))

    with listener.task("Ignoring one group at a time", len(groups), "groups") as task:
        tried = []
        for number, group in enumerate(groups):
            if len(groups) > 1:  # the only group: nothing would be left to quantise
                tried.append((strain(group), group))
            task.reach(number + 1)
    tried.sort()
    lines = ["Leaving these in float would bring the worst figure to this share of its limit:"]
    lines += [f"  {share:.0%}: {' '.join(group)}" for share, group in tried[:MAX_LISTED]]
    enough: tuple[str, ...] = ()
    for count in range(1, len(tried)):  # of all together nothing would be left
        chosen = tuple(name for _, group in tried[:count] for name in group)
        share = tried[0][0] if count == 1 else strain(chosen)
        if share <= 1:
            enough = chosen
            break
    if enough:
        lines.append("Enough: " + " ".join(f"--ignore-layer {name}" for name in enough))
    else:
        lines.append("No choice of these is enough: keep to FP16, or calibrate on your own frames.")
    return "\n".join(lines)
