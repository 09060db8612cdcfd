"""The build against the bare library calls that it needs.

Bare: load the weights, `torch.onnx.export`, `openvino.convert_model`, `save_model` twice; no
checks. Ours: `matting` with the same weights, download to IR.  Both run in fresh processes, in
turn; the result is the ratio of each pair.  Validation and report, which the bare calls do not
have, are measured separately, as is the CPU time of a build that is up to date.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.outcome import Figure, conclude

ROUNDS = 3
LIMIT = 1.3
AGAIN_LIMIT = 1.0  # seconds of CPU
BARE = """
import sys, warnings, logging
warnings.simplefilter("ignore"); logging.disable(logging.WARNING)
import torch, openvino
from pathlib import Path
from toolchain.checkpoints.load import load_network
from toolchain.network.refiner import Selection
network = load_network(Path(sys.argv[1]), selection=Selection(), static=True)
class Two(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = network
    def forward(self, src, bgr):
        outputs = self.network(src, bgr)
        return outputs.pha, outputs.fgr
frames = tuple(torch.zeros(1, 3, 720, 1280) for _ in range(2))
torch.onnx.export(Two().eval(), frames, sys.argv[2] + "/m.onnx", input_names=["src", "bgr"],
    output_names=["pha", "fgr"], opset_version=18, dynamo=True, external_data=False, verbose=False)
model = openvino.convert_model(sys.argv[2] + "/m.onnx")
openvino.save_model(model, sys.argv[2] + "/FP32.xml", compress_to_fp16=False)
openvino.save_model(model, sys.argv[2] + "/FP16.xml", compress_to_fp16=True)
"""
OURS = """
import sys
from pathlib import Path
from toolchain.catalog.builtin import builtin_config
from toolchain.catalog.reader import read_model
from toolchain.pipeline.build import build
from toolchain.pipeline.request import BuildRequest
from toolchain.pipeline.weights import choose_weights
model, output = read_model(builtin_config()), Path(sys.argv[1])
stages = ("download", "export", "convert")
build(BuildRequest(model, choose_weights(model, "bundled", output), output, stages=stages))
"""


def main() -> int:
    """Time both, print the ratios."""
    from toolchain.catalog.builtin import builtin_config, data_file
    from toolchain.catalog.reader import read_model

    bundled = read_model(builtin_config()).bundled
    assert bundled is not None
    weights = data_file(bundled.name)
    matting = str(Path(sys.executable).with_name("matting"))
    bare, ours, whole, again = [], [], [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "bare").mkdir()
            bare.append(
                _timed([sys.executable, "-c", BARE, str(weights), str(Path(folder, "bare"))])
            )
            ours.append(_timed([sys.executable, "-c", OURS, str(Path(folder, "ours"))]))
            command = [matting, "build", "--weights", "bundled", "--output"]
            command.append(str(Path(folder, "whole")))
            whole.append(_timed(command))
            again.append(_cpu(command))
    ratios = [mine / theirs for mine, theirs in zip(ours, bare, strict=True)]
    all_ratios = [mine / theirs for mine, theirs in zip(whole, bare, strict=True)]
    return conclude(
        "build",
        [
            Figure("bare calls: load, export, convert, save twice", statistics.median(bare), "s"),
            Figure("download, checkpoint, export, convert, checked", statistics.median(ours), "s"),
            Figure("ratio to the bare calls", statistics.median(ratios), "x", LIMIT),
            Figure(
                "with validation against the original and the report", statistics.median(whole), "s"
            ),
            Figure("ratio with validation and report", statistics.median(all_ratios), "x"),
            Figure("a second build, CPU", statistics.median(again), "s", AGAIN_LIMIT),
        ],
    )


def _timed(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def _cpu(command: list[str]) -> float:
    """Seconds of CPU; 0 where the operating system does not report them (Windows)."""
    before = os.times()
    _timed(command)
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])


if __name__ == "__main__":
    sys.exit(main())
