"""Cross-check: prove that a checkpoint holds the published weights, by a file of known digest.

The published ONNX carries each convolution with its BatchNorm folded in; folding the checkpoint's
own must give the same numbers.  Names were lost in that export, so convolutions are matched by
shape and value, each used once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.errors import IntegrityError

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

RELATIVE_LIMIT = 1e-5  # float32 folding rounds a few times; different weights differ by far more


@dataclass(frozen=True)
class CrossCheckRequest:
    """`anchor`: the ONNX, already verified against its published digest."""

    checkpoint: Path
    anchor: Path


@dataclass(frozen=True)
class CrossCheckResult:
    """`worst`: the largest difference of a convolution relative to its largest weight or bias."""

    convolutions: int
    worst: float


def cross_check(request: CrossCheckRequest) -> CrossCheckResult:
    """Compare every convolution.  Raises IntegrityError naming those without a counterpart."""
    import numpy as np
    import onnx
    from onnx import numpy_helper

    from toolchain.network.checkpoint import load_state_dict
    from toolchain.network.folding import folded

    try:
        graph = onnx.load(request.anchor).graph
        values = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    # protobuf's errors have no common public base, and a damaged file gives any of them
    except Exception as error:
        raise IntegrityError(
            f"{request.anchor}: not a readable ONNX file: {error}", hint="Download it again."
        ) from error
    anchors = [
        (values[node.input[1]], values[node.input[2]])
        for node in graph.node
        if node.op_type == "Conv" and len(node.input) > 2 and node.input[1] in values  # noqa: PLR2004
    ]
    found, worst = 0, 0.0
    missing = []
    for name, own in folded(load_state_dict(request.checkpoint)).items():
        weight, bias = own.weight.numpy(), own.bias.numpy()
        best, place = np.inf, -1
        for index, (other_weight, other_bias) in enumerate(anchors):
            if other_weight.shape != weight.shape:
                continue
            distance = max(_relative(weight, other_weight), _relative(bias, other_bias))
            if distance < best:
                best, place = distance, index
        if best > RELATIVE_LIMIT:
            missing.append(name)
            continue
        anchors.pop(place)
        found, worst = found + 1, max(worst, best)
    if missing:
        raise IntegrityError(
            f"{request.checkpoint}: {len(missing)} convolutions differ from {request.anchor.name} "
            f"by more than {RELATIVE_LIMIT}: {', '.join(missing[:5])}"
            + (" ..." if len(missing) > 5 else ""),  # noqa: PLR2004 - enough to recognise
            kept="Neither file was changed.",
            hint="These are not the published weights; get the checkpoint from its source again.",
        )
    return CrossCheckResult(found, worst)


def _relative(one: Array, other: Array) -> float:
    scale = max(float(abs(one).max()), 1e-30)
    return float(abs(one - other).max()) / scale
