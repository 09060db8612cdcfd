"""An IR in OpenVINO for throughput: several frames at a time, bytes in, outputs as they come."""

from __future__ import annotations

from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from openvino.preprocess import PrePostProcessor

from toolchain.errors import ValidationError
from toolchain.runtimes.base import Pixels
from toolchain.runtimes.openvino_runtime import Hint, check_ports, precision_of
from toolchain.runtimes.queued import Prediction

PATIENCE = 30.0  # seconds after which a result that does not come is looked into


class OpenVinoQueue:
    """AsyncInferQueue with as many requests as the device likes.

    Frames go in as uint8 NHWC RGB: conversion, transposition and channel order are part of the
    graph, so that they run in its threads; the numbers that reach the IR are the same.
    `threads`: how many the device may use, 0 for all.  Raises ValidationError as OpenVinoRuntime.
    """

    def __init__(
        self, xml: Path, hint: Hint = "f32", device: str = "CPU", *, threads: int = 0
    ) -> None:
        config: dict[str, Any] = {"PERFORMANCE_HINT": "THROUGHPUT"}
        if hint == "f32":
            config["INFERENCE_PRECISION_HINT"] = "f32"
        if threads:
            config["INFERENCE_NUM_THREADS"] = threads
        core = openvino.Core()
        try:
            model = core.read_model(xml)
            check_ports(model, xml)
            compiled = core.compile_model(_with_bytes_in(model), device, config)
        except RuntimeError as error:
            raise ValidationError(
                f"{xml}: OpenVINO can't run it on {device}: {str(error).strip().splitlines()[-1]}",
                hint="Convert it again; see `matting info` for the versions in use.",
            ) from error
        self._queue = openvino.AsyncInferQueue(compiled)
        self._queue.set_callback(_deliver)
        self._executed = precision_of(compiled)
        _, height, width, _ = compiled.input("src").shape
        self._size = width, height

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the model's frames."""
        return self._size

    @property
    def executed(self) -> str:
        """See `InferenceQueue.executed`."""
        return self._executed

    @property
    def depth(self) -> int:
        """See `InferenceQueue.depth`."""
        return len(self._queue)

    def submit(self, src: Pixels, bgr: Pixels) -> Future[Prediction]:
        """See `InferenceQueue.submit`."""
        future: Future[Prediction] = Future()
        self._queue.start_async({"src": src[None], "bgr": bgr[None]}, future)
        return future

    def wait(self, future: Future[Prediction]) -> Prediction:
        """See `InferenceQueue.wait`."""
        while not wait([future], PATIENCE).done:
            self._queue.wait_all()  # a failed request has no callback, but raises here
        return future.result()

    def close(self) -> None:
        """See `InferenceQueue.close`."""
        self._queue.wait_all()


def _deliver(request: Any, future: Future[Prediction]) -> None:
    try:
        pha, fgr = (np.array(request.get_tensor(name).data) for name in ("pha", "fgr"))
        future.set_result(Prediction(pha[0, 0], fgr[0].transpose(1, 2, 0)))
    except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
        future.set_exception(error)


def _with_bytes_in(model: Any) -> Any:
    steps = PrePostProcessor(model)
    for name in ("src", "bgr"):
        port = steps.input(name)
        port.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
        kind = model.input(name).get_element_type()
        # An IR for bytes takes them as they lie; the other wants planes.
        port.model().set_layout(openvino.Layout("NHWC" if kind == openvino.Type.u8 else "NCHW"))
        port.preprocess().convert_element_type(kind).reverse_channels()
    return steps.build()
