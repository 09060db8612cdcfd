"""Compare a checkpoint with the network."""

from __future__ import annotations

import safetensors.torch

from toolchain.checkpoints.load import load_checkpoint
from toolchain.stages.checkpoint.request import CheckpointRequest, CheckpointResult
from toolchain.workspace.atomic import write_bytes
from toolchain.workspace.digests import file_digest


def check(request: CheckpointRequest) -> CheckpointResult:
    """Read the weights, and write them if asked to.

    Raises:
        CheckpointError: The file is unreadable, does not hold exactly one set of weights of this
            network, or has values that are not finite.
        UnsafeCheckpointError: Its pickle asks to run code.
        WorkspaceError: The weights cannot be written.
    """
    checkpoint = load_checkpoint(request.path, request.key)
    if request.selected is not None:
        write_bytes(request.selected, safetensors.torch.save(checkpoint.state))
    return CheckpointResult(
        request.path,
        checkpoint.format,
        len(checkpoint.state),
        checkpoint.found,
        file_digest(request.path, "sha384").value,
    )
