"""Quantize: an IR whose convolutions compute in 8-bit integers, compared with its float form.

Post-training quantization by NNCF, calibrated on frames.  Only convolutions are quantized.  Index
arithmetic, gathers, the selection, the resizes by fixed weights and the ignored layers stay in
float. The result must meet the limits on frames with ground truth.  Otherwise it is not published,
and the stage measures which layers to ignore.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from toolchain.errors import QuantizationError
from toolchain.metrics.verdict import compute_bounds
from toolchain.progress import Listener, SilentListener
from toolchain.stages.quantize.accuracy_gate import AccuracyGate
from toolchain.stages.quantize.calibration import CalibratedQuantizer
from toolchain.stages.quantize.ignored_layer_search import suggest_ignored_layers
from toolchain.stages.quantize.request import RECORD, QuantizeRequest, QuantizeResult, require_nncf
from toolchain.workspace.atomic import os_errors, publish_pair, write_json


def quantize(request: QuantizeRequest, listener: Listener | None = None) -> QuantizeResult:
    """Write `request.xml`, its bin and a record of its accuracy; the same IR each time.

    An existing IR is replaced only by a complete one that meets the limits.

    Args:
        request: What to quantize.
        listener: Listener for progress.

    Returns:
        The quantized IR and its accuracy.

    Raises:
        QuantizationError: NNCF is missing or fails, an ignored layer does not exist, or a limit is
            exceeded.
        FrameError: `request.dataset` is invalid.
        ValidationError: The IR does not have the expected ports.
        WorkspaceError: The IR cannot be written.
    """
    require_nncf()
    listener = listener or SilentListener()
    work = CalibratedQuantizer(request, listener)
    gate = AccuracyGate(request, work.size)
    folder = request.xml.parent
    with os_errors(folder, "write"):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{request.xml.stem}.", suffix=".part-write", dir=folder
        ) as scratch:
            written = Path(scratch, request.xml.name)
            quantized = work.write(written, request.ignored)
            with listener.task("Measuring accuracy", gate.runs, "runs") as task:
                figures = gate.figures(written, task.reach)
            if failures := gate.failures(figures):
                hint = suggest_ignored_layers(
                    work, gate, request.ignored, Path(scratch, "trial.xml"), listener
                )
                raise QuantizationError(
                    f"{request.xml}: worse than the float model by more than the limits:\n  "
                    + "\n  ".join(failures),
                    kept="No IR was published; an existing IR is unchanged.",
                    hint=hint,
                )
            sizes = written.stat().st_size, written.with_suffix(".bin").stat().st_size
            kept = tuple(layer for layer in work.layers if layer not in quantized)
            result = QuantizeResult(request.xml, *sizes, quantized, kept, figures)
            (folder / RECORD).unlink(missing_ok=True)
            publish_pair(written.with_suffix(".bin"), written, folder)
            write_json(folder / RECORD, _record(request, result, work, gate))
    return result


def _record(
    request: QuantizeRequest, result: QuantizeResult, work: CalibratedQuantizer, gate: AccuracyGate
) -> dict[str, Any]:
    return {
        "schema": 1,
        "calibrated_on": work.names,
        "quantized": list(result.quantized),
        "kept": list(result.kept),
        "judged_on": gate.names,
        "against": f"{request.reference.parent.name} at f32",
        "runs": [
            {
                "hint": hint,
                "figures": result.figures[hint],
                "limits": compute_bounds(limits, gate.bases),
                "reason": limits.reason,
            }
            for hint, limits in gate.limits.items()
        ],
    }
