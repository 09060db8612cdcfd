"""OpenVINO's asynchronous queue: bit-identical to the synchronous runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
import pytest

from tests.runtimes.conftest import CONVERSION
from toolchain.errors import ValidationError
from toolchain.frames.generated import composites
from toolchain.runtimes.openvino_api import operators
from toolchain.runtimes.openvino_async import OpenVinoQueue
from toolchain.runtimes.openvino_runtime import OpenVinoRuntime
from toolchain.stages.convert.convert import convert
from toolchain.stages.convert.request import ConvertRequest


@pytest.mark.parametrize("threads", [0, 1])
def test_the_queue_is_bit_identical_to_the_synchronous_runtime(
    small_model: Path, threads: int
) -> None:
    """Several uint8 frames in flight give the mattes of one float frame at a time."""
    plain = OpenVinoRuntime(small_model / "m.xml", "f32")
    queue = OpenVinoQueue(small_model / "m.xml", "f32", threads=threads)
    assert queue.executed == plain.executed == "f32"
    assert queue.depth >= 1
    frames = list(composites(5, 7, 320, 192))
    coming = [queue.submit(frame.src, frame.bgr) for frame in frames]
    for frame, future in zip(frames, coming, strict=True):
        found, expected = queue.wait(future), plain.infer(frame.src, frame.bgr)
        assert np.array_equal(found.pha, expected.pha)
        assert np.array_equal(found.fgr, expected.fgr)
    queue.close()


def test_a_changed_plate_is_detected_by_its_content(small_model: Path) -> None:
    """Cached outputs are used for an equal plate only, also if the array is the same object."""
    plain = OpenVinoRuntime(small_model / "m.xml", "f32")
    queue = OpenVinoQueue(small_model / "m.xml", "f32")
    frames = list(composites(3, 7, 320, 192))
    plate = frames[0].bgr.copy()
    for frame, behind in zip(
        [*frames, *frames], [frames[0]] * 2 + [frames[1]] * 2 + [frames[0]] * 2, strict=True
    ):
        plate[:] = behind.bgr
        found, expected = queue.wait(queue.submit(frame.src, plate)), plain.infer(frame.src, plate)
        assert np.array_equal(found.pha, expected.pha)
        assert np.array_equal(found.fgr, expected.fgr)
    queue.close()


def test_an_ir_with_uint8_inputs_takes_the_same_frames(small_model: Path) -> None:
    """The queue takes RGB and gives the same mattes for float planes and for uint8 pixels."""
    request = ConvertRequest(
        small_model / "m.onnx",
        small_model / "u8.xml",
        "FP32",
        CONVERSION,
        (),
        (),
        input_format="u8-nhwc",
    )
    convert(request)
    (frame,) = composites(1, 9, 320, 192)
    queues = [OpenVinoQueue(small_model / name, "f32") for name in ("m.xml", "u8.xml")]
    one, other = (queue.wait(queue.submit(frame.src, frame.bgr)) for queue in queues)
    assert np.array_equal(one.pha, other.pha)
    assert np.array_equal(one.fgr, other.fgr)


@pytest.mark.parametrize("reverse", [True, False])
def test_inputs_are_bgr_with_and_without_a_reversal_in_the_ir(
    tmp_path: Path, *, reverse: bool
) -> None:
    """An IR gets BGR whether it reverses its channels or not."""
    path = _difference(tmp_path / "d.xml", reverse=reverse)
    (frame,) = composites(1, 9, 320, 192)
    queue = OpenVinoQueue(path, "f32")
    found = queue.wait(queue.submit(frame.src, frame.bgr))
    difference = frame.src.astype(np.float32) - frame.bgr
    expected = difference if reverse else difference[..., ::-1]
    assert np.array_equal(found.fgr, expected)
    assert np.array_equal(found.pha, expected[..., 0])


def _difference(path: Path, *, reverse: bool) -> Path:
    """An IR that takes BGR; fgr: src - bgr, as RGB if `reverse`; pha: its first channel."""
    src, bgr = (operators.parameter([1, 3, 192, 320], np.float32, name) for name in ("src", "bgr"))
    for port, name in ((src, "src"), (bgr, "bgr")):
        port.output(0).set_names({name})
    turned = (
        [operators.gather(port, np.array([2, 1, 0]), np.int64(1)) for port in (src, bgr)]
        if reverse
        else [src, bgr]
    )
    fgr = operators.subtract(*turned)
    pha = operators.slice(fgr, [0], [1], [1], [1])
    for node, name in ((pha, "pha"), (fgr, "fgr")):
        node.output(0).set_names({name})
    openvino.save_model(openvino.Model([pha, fgr], [src, bgr]), path, compress_to_fp16=False)
    return path


def test_a_damaged_ir_is_an_error(tmp_path: Path) -> None:
    """The message names the file."""
    (tmp_path / "m.xml").write_text("<net/>")
    with pytest.raises(ValidationError, match=r"m\.xml: OpenVINO cannot run it"):
        OpenVinoQueue(tmp_path / "m.xml")


def test_the_exception_of_a_failed_request_is_raised(
    small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is raised where the result is awaited."""
    import toolchain.runtimes.openvino_async as module

    queue = OpenVinoQueue(small_model / "m.xml", "f32")
    (frame,) = composites(1, 9, 320, 192)

    def fails(*_: object) -> None:
        raise MemoryError("no room for the outputs")

    monkeypatch.setattr(module, "Prediction", fails)
    with pytest.raises(MemoryError, match="no room"):
        queue.wait(queue.submit(frame.src, frame.bgr))
    queue.close()
