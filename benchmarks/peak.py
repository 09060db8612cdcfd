"""Peak rate of the machine: one large convolution in the runtime that runs the model."""

from __future__ import annotations

import statistics
import time

import numpy as np
import openvino
from openvino import opset8

CHANNELS, HEIGHT, WIDTH = 256, 90, 160
ROUNDS = 12


def peak_gflops(hint: str) -> float:
    """GFLOP/s (2 per multiply-add) of a 3x3 convolution of 256 channels; the median of rounds.

    `hint`: "f32", or "default" for the device's own choice.
    """
    random = np.random.default_rng(0)
    x = opset8.parameter([1, CHANNELS, HEIGHT, WIDTH], np.float32)
    weight = opset8.constant(
        (random.standard_normal((CHANNELS, CHANNELS, 3, 3)) / 50).astype(np.float32)
    )
    y = x
    for _ in range(4):  # a chain, so that layout changes at both ends are negligible
        y = opset8.relu(opset8.convolution(y, weight, [1, 1], [1, 1], [1, 1], [1, 1]))
    config = {"INFERENCE_PRECISION_HINT": "f32"} if hint == "f32" else {}
    compiled = openvino.Core().compile_model(openvino.Model([y], [x]), "CPU", config)
    request = compiled.create_infer_request()
    request.set_tensor(
        compiled.input(0),
        openvino.Tensor(random.standard_normal((1, CHANNELS, HEIGHT, WIDTH)).astype(np.float32)),
    )
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        request.infer()
        seconds.append(time.perf_counter() - began)
    flops = 4 * 2 * HEIGHT * WIDTH * CHANNELS * CHANNELS * 9
    return flops / statistics.median(seconds[2:]) / 1e9
