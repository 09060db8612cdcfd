"""Search for layers to ignore: each group alone, then the best groups together."""

from __future__ import annotations

from pathlib import Path

from toolchain.progress import Listener
from toolchain.stages.quantize.accuracy_gate import AccuracyGate
from toolchain.stages.quantize.calibration import CalibratedQuantizer
from toolchain.stages.quantize.layers import is_in_layers

MAX_LISTED = 5  # groups


def suggest_ignored_layers(
    work: CalibratedQuantizer,
    gate: AccuracyGate,
    ignored: tuple[str, ...],
    trial: Path,
    listener: Listener,
) -> str:
    """Suggest layers to ignore in addition to `ignored`, so that every limit is met.

    Args:
        work: The quantizer.
        gate: Measures the accuracy.
        ignored: Layers that are ignored already.
        trial: Path for the trial IRs.
        listener: Listener for progress.

    Returns:
        Hint with the best groups, and options that suffice if any do.
    """
    groups = [
        group for group in work.groups if not all(is_in_layers(name, ignored) for name in group)
    ]

    def measure(more: tuple[str, ...]) -> float:
        work.write(trial, (*ignored, *more))
        return gate.worst_share(gate.figures(trial, lambda _: None))

    with listener.task("Ignoring one group at a time", len(groups), "groups") as task:
        tried = []
        for number, group in enumerate(groups):
            if len(groups) > 1:  # nothing would be left to quantize
                tried.append((measure(group), group))
            task.reach(number + 1)
    tried.sort()
    lines = ["Worst figure as a share of its limit, if these layers are ignored:"]
    lines += [f"  {share:.0%}: {' '.join(group)}" for share, group in tried[:MAX_LISTED]]
    enough: tuple[str, ...] = ()
    for count in range(1, len(tried)):  # with all of them, nothing would be left
        chosen = tuple(name for _, group in tried[:count] for name in group)
        share = tried[0][0] if count == 1 else measure(chosen)
        if share <= 1:
            enough = chosen
            break
    if enough:
        lines.append("Sufficient: " + " ".join(f"--ignore-layer {name}" for name in enough))
    else:
        lines.append("None of these suffices: use FP16, or calibrate on your own frames.")
    return "\n".join(lines)
