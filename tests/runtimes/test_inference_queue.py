"""A synchronous runtime behind the asynchronous interface."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from toolchain.frames.generated import composites
from toolchain.runtimes.inference_queue import SequentialQueue
from toolchain.runtimes.onnx_runtime import OnnxRuntime


def test_onnx_runtime_gives_the_same_outputs_with_and_without_inner_tensors(
    small_model: Path,
) -> None:
    """Outputs without inner tensors, computed in a thread, are bit-identical."""
    (frame,) = composites(1, 9, 320, 192)
    expected = OnnxRuntime(small_model / "m.onnx").infer(frame.src, frame.bgr)
    queue = SequentialQueue(OnnxRuntime(small_model / "m.onnx", plain=True, threads=1))
    found = queue.wait(queue.submit(frame.src, frame.bgr))
    queue.close()
    assert np.array_equal(found.pha, expected.pha)
    assert np.array_equal(found.fgr, expected.fgr)
