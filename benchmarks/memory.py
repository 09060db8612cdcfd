"""Memory to read, compile and run an IR: `python -m benchmarks.memory XML HINT`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import openvino


def main(xml: str, hint: str) -> int:
    """Print the peak resident size in MiB after some inferences; 0 if the OS does not report it."""
    config = {"INFERENCE_PRECISION_HINT": "f32"} if hint == "f32" else {}
    request = openvino.Core().compile_model(xml, "CPU", config).create_infer_request()
    frames = {
        port.get_any_name(): np.full(port.shape, 90, np.float32)
        for port in request.get_compiled_model().inputs
    }
    frames["src"][:, :, 100:500, 200:900] = np.random.default_rng(0).uniform(0, 255, (3, 400, 700))
    for _ in range(4):
        request.infer(frames)
    print(_peak_mib())
    return 0


def _peak_mib() -> float:
    """Peak of this program; `getrusage` on Linux includes the peak of its parent."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
