"""Compare a checkpoint with the network."""

from __future__ import annotations

from toolchain.checkpoints.load import load_checkpoint
from toolchain.stages.checkpoint.request import CheckpointRequest, CheckpointResult
from toolchain.workspace.digests import file_digest


def check(request: CheckpointRequest) -> CheckpointResult:
    """Read the weights and keep nothing of them.

    Raises:
        CheckpointError: The file is unreadable, does not hold exactly one set of weights of this
            network, or has values that are not finite.
        UnsafeCheckpointError: Its pickle asks to run code.
    """
    checkpoint = load_checkpoint(request.path, request.key)
    return CheckpointResult(
        request.path,
        checkpoint.format,
        len(checkpoint.state),
        checkpoint.found,
        file_digest(request.path, "sha384").value,
    )
