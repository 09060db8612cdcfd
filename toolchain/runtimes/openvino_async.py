"""An IR in OpenVINO, optimized for throughput: several frames at a time, with uint8 inputs."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.definitions.arrays import Pixels
from toolchain.definitions.ports import OUTPUTS, RT_INFO
from toolchain.definitions.variants import Hint
from toolchain.errors import ValidationError
from toolchain.runtimes.inference_queue import Prediction
from toolchain.runtimes.openvino_api import PrePostProcessor, last_line, openvino, operators
from toolchain.runtimes.openvino_runtime import check_ports, get_precision
from toolchain.runtimes.plate_subgraph import split_plate_subgraph

QueuedRequest = tuple[Future[Prediction], Pixels]
RESULT_TIMEOUT = 30.0  # seconds to wait before the state of the request is checked


class OpenVinoQueue:
    """AsyncInferQueue with the device's optimal number of requests.

    Inputs are uint8 NHWC RGB.  Type, layout and channel order are converted in the graph, by the
    device's threads; the IR receives the same values.  The part of the graph that depends on the
    plate alone runs again only when the plate changes.

    Args:
        xml: The IR.
        hint: Precision hint.
        device: Device by OpenVINO's name.
        threads: Number of threads that the device may use, 0 for all.
        as_bytes: Return alpha and foreground as uint8, 0..255, rounded in the graph.

    Attributes:
        size: Width and height of the model's frames.
        executed: Precision that the device computes in.
        facts: The toolchain's entries in rt_info; empty for an IR of another tool.

    Raises:
        ValidationError: The IR cannot be run on the device, or has unexpected inputs or outputs.
    """

    def __init__(
        self,
        xml: Path,
        hint: Hint = "f32",
        device: str = "CPU",
        *,
        threads: int = 0,
        as_bytes: bool = False,
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
            self._facts = _facts(model)
            if as_bytes:
                model = _with_bytes_out(model)
            model = _with_bytes_in(model)
            _, height, width, _ = model.input("src").shape
            self._plate, model = _split_plate(core, model, device, config)
            compiled = core.compile_model(model, device, config)
        except RuntimeError as error:
            raise ValidationError(
                f"{xml}: OpenVINO cannot run it on {device}: {last_line(error)}",
                hint="Convert it again; see `matting info` for the versions in use.",
            ) from error
        self._queue = openvino.AsyncInferQueue(compiled)
        self._queue.set_callback(_deliver)
        self._lock = threading.Lock()  # starting requests is not documented as thread-safe
        self._executed = get_precision(compiled)
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
    def facts(self) -> Mapping[str, str]:
        """Metadata of the toolchain in the IR; empty for an IR of another tool."""
        return self._facts

    @property
    def depth(self) -> int:
        """See `InferenceQueue.depth`."""
        return len(self._queue)

    def submit(self, src: Pixels, bgr: Pixels) -> Future[Prediction]:
        """See `InferenceQueue.submit`."""
        future: Future[Prediction] = Future()
        with self._lock:
            feed = {0: src[None], **self._plate(bgr)}
            # Keeps the frame alive; the request uses its memory.
            self._queue.start_async(feed, (future, src), share_inputs=True)
        return future

    def wait(self, future: Future[Prediction]) -> Prediction:
        """See `InferenceQueue.wait`."""
        while not wait([future], RESULT_TIMEOUT).done:
            self._queue.wait_all()  # a failed request has no callback, but raises here
        return future.result()

    def close(self) -> None:
        """See `InferenceQueue.close`."""
        self._queue.wait_all()


class _PlateInput:
    """Passes a plate to a graph that is not split."""

    def __call__(self, bgr: Pixels) -> dict[int, Any]:
        return {1: bgr[None]}


class _PlateCache:
    """Runs the plate's part of a graph, and keeps its outputs until the plate changes."""

    def __init__(self, compiled: Any) -> None:
        self._request = compiled.create_infer_request()
        self._count = len(compiled.outputs)
        self._last: bytes | None = None
        self._made: dict[int, Any] = {}

    def __call__(self, bgr: Pixels) -> dict[int, Any]:
        seen = bgr.tobytes()  # by value: callers may reuse an array
        if seen != self._last:
            self._request.infer([bgr[None]])
            self._made = {
                1 + index: openvino.Tensor(np.array(self._request.get_output_tensor(index).data))
                for index in range(self._count)
            }
            self._last = seen
        return self._made


def _split_plate(
    core: Any, model: Any, device: str, config: dict[str, Any]
) -> tuple[_PlateInput | _PlateCache, Any]:
    """Return a callable that computes the inputs after the first, and the graph that takes them."""
    parts = split_plate_subgraph(model)
    if parts is None:
        return _PlateInput(), model
    part, rest = parts
    return _PlateCache(core.compile_model(part, device, config)), rest


def _deliver(request: Any, asked: QueuedRequest) -> None:
    future, _ = asked
    try:
        pha, fgr = (np.array(request.get_tensor(name).data) for name in OUTPUTS)
        future.set_result(Prediction(pha[0, 0], fgr[0].transpose(1, 2, 0), request.latency / 1000))
    except BaseException as error:  # noqa: BLE001 - raised where the result is awaited
        future.set_exception(error)


def _facts(model: Any) -> dict[str, str]:
    if not model.has_rt_info([RT_INFO]):
        return {}
    entries = model.get_rt_info([RT_INFO])
    return {key: str(value.astype(str)) for key, value in entries.astype(dict).items()}


def _with_bytes_out(model: Any) -> Any:
    steps = PrePostProcessor(model)
    for name in OUTPUTS:
        port = steps.output(name)
        port.model().set_layout(openvino.Layout("NCHW"))
        port.postprocess().custom(
            lambda out: operators.round(
                operators.multiply(out, np.float32(255)), "half_to_even"
            ).output(0)
        )
        port.tensor().set_element_type(openvino.Type.u8)
    return steps.build()


def _with_bytes_in(model: Any) -> Any:
    """Change the inputs to uint8 NHWC RGB.

    Bytes are converted to planes in BGR order before they become floats: reversing interleaved
    channels takes longer than a large convolution.
    """
    steps = PrePostProcessor(model)
    for index, port in enumerate(model.inputs):
        info, kind = steps.input(index), port.get_element_type()
        info.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
        info.preprocess().convert_layout(openvino.Layout("NCHW")).reverse_channels()
        if kind == openvino.Type.u8:  # the IR converts the layout itself
            info.model().set_layout(openvino.Layout("NHWC"))
            info.preprocess().convert_layout(openvino.Layout("NHWC"))
        else:
            info.model().set_layout(openvino.Layout("NCHW"))
            info.preprocess().convert_element_type(kind)
    return steps.build()
