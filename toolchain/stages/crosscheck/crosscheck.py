"""Compare the convolutions of a checkpoint with those of the published ONNX.

In the published ONNX every BatchNorm is folded into its convolution; folding those of the
checkpoint must give the same numbers.  The export lost the layers' names, so convolutions are
matched by shape and value, each used once.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from toolchain.checkpoints.load import load_state_dict
from toolchain.checkpoints.search import COUNTER
from toolchain.definitions.arrays import Array
from toolchain.errors import IntegrityError
from toolchain.network.folding import fold_state_dict
from toolchain.printable import printable_list
from toolchain.stages.crosscheck.request import CompareRequest, CrossCheckRequest, CrossCheckResult

RELATIVE_LIMIT = 1e-5  # float32 folding rounds a few times; other weights differ by far more
MAX_LISTED = 5


def cross_check(request: CrossCheckRequest) -> CrossCheckResult:
    """Compare every convolution.

    Raises:
        CheckpointError: The checkpoint is unreadable or not of this network.
        IntegrityError: The ONNX is unreadable, or convolutions differ; the message names them.
    """
    try:
        graph = onnx.load(request.anchor).graph
        values = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    # protobuf's errors have no common public base, and a damaged file raises any of them
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
    for name, own in fold_state_dict(load_state_dict(request.checkpoint)).items():
        weight, bias = own.weight.numpy(), own.bias.numpy()
        best, place = np.inf, -1
        for index, (other_weight, other_bias) in enumerate(anchors):
            if other_weight.shape != weight.shape:
                continue
            difference = max(
                _relative_difference(weight, other_weight), _relative_difference(bias, other_bias)
            )
            if difference < best:
                best, place = difference, index
        if best > RELATIVE_LIMIT:
            missing.append(name)
            continue
        anchors.pop(place)
        found, worst = found + 1, max(worst, best)
    if missing:
        more = " ..." if len(missing) > MAX_LISTED else ""
        raise IntegrityError(
            f"{request.checkpoint}: {len(missing)} convolutions differ from {request.anchor.name} "
            f"by more than {RELATIVE_LIMIT}: {', '.join(missing[:MAX_LISTED])}{more}",
            kept="Neither file was changed.",
            hint="These are not the published weights; download the checkpoint again.",
        )
    return CrossCheckResult(found, worst)


def compare_checkpoints(request: CompareRequest) -> int:
    """Compare every tensor bit for bit, except counters of training.

    Returns:
        Number of tensors that were compared.

    Raises:
        CheckpointError: One of the files is unreadable or not of this network.
        IntegrityError: Tensors differ; the message names them.
    """
    own, other = load_state_dict(request.checkpoint), load_state_dict(request.anchor)
    names = [name for name in own if not name.endswith(COUNTER)]
    different = [
        name
        for name in names
        if name not in other or own[name].numpy().tobytes() != other[name].numpy().tobytes()
    ]
    if different:
        raise IntegrityError(
            f"{request.checkpoint}: {len(different)} tensors differ from those of "
            f"{request.anchor.name}, whose digest is published: "
            + printable_list(different, MAX_LISTED),
            kept="Neither file was changed.",
            hint="These are not the published weights; download the checkpoint again.",
        )
    return len(names)


def _relative_difference(one: Array, other: Array) -> float:
    scale = max(float(abs(one).max()), 1e-30)
    return float(abs(one - other).max()) / scale
