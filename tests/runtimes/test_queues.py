"""Queues give what the plain runtimes give, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
import pytest

from toolchain.catalog.arguments import ConversionSettings, ExportSettings
from toolchain.errors import ValidationError
from toolchain.frames.generated import composites
from toolchain.runtimes.inference_queue import SequentialQueue
from toolchain.runtimes.onnx_runtime import OnnxRuntime
from toolchain.runtimes.openvino_api import operators
from toolchain.runtimes.openvino_async import OpenVinoQueue
from toolchain.runtimes.openvino_runtime import OpenVinoRuntime
from toolchain.runtimes.plate_subgraph import split_plate_subgraph
from toolchain.stages.convert.convert import convert
from toolchain.stages.convert.request import ConvertRequest
from toolchain.stages.export.export import export
from toolchain.stages.export.request import ExportRequest

SIZE = ExportSettings(320, 192, sample_pixels=8_000)
SHAPE = (1, 3, 192, 320)
SETTINGS = ConversionSettings(
    inputs=("src", "bgr"),
    outputs=("pha", "fgr"),
    scale=(("src", (255.0,)), ("bgr", (255.0,))),
    reverse_input_channels=True,
    layouts=(("src", "NCHW"), ("bgr", "NCHW")),
    shapes=(("src", SHAPE), ("bgr", SHAPE)),
)


@pytest.fixture(scope="module")
def built(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    export(ExportRequest(checkpoint, folder / "m.onnx", SIZE, ()))
    convert(ConvertRequest(folder / "m.onnx", folder / "m.xml", "FP32", SETTINGS, (), ()))
    return folder


@pytest.mark.parametrize("threads", [0, 1])
def test_bytes_in_and_many_at_a_time_change_no_bit(built: Path, threads: int) -> None:
    """Frames as uint8 RGB through AsyncInferQueue give the mattes of one float frame at a time."""
    plain = OpenVinoRuntime(built / "m.xml", "f32")
    queue = OpenVinoQueue(built / "m.xml", "f32", threads=threads)
    assert queue.executed == plain.executed == "f32"
    assert queue.depth >= 1
    frames = list(composites(5, 7, 320, 192))
    coming = [queue.submit(frame.src, frame.bgr) for frame in frames]
    for frame, future in zip(frames, coming, strict=True):
        found, expected = queue.wait(future), plain.infer(frame.src, frame.bgr)
        assert np.array_equal(found.pha, expected.pha)
        assert np.array_equal(found.fgr, expected.fgr)
    queue.close()


def test_a_plate_that_stays_or_changes_is_the_one_that_counts(built: Path) -> None:
    """What was kept of a plate serves the same plate again, and no other one, in any array."""
    plain = OpenVinoRuntime(built / "m.xml", "f32")
    queue = OpenVinoQueue(built / "m.xml", "f32")
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


def test_an_ir_for_bytes_takes_the_same_frames(built: Path) -> None:
    """Whether an IR takes planes or pixels, the queue takes RGB and gives the same mattes."""
    request = ConvertRequest(
        built / "m.onnx", built / "u8.xml", "FP32", SETTINGS, (), (), input_format="u8-nhwc"
    )
    convert(request)
    (frame,) = composites(1, 9, 320, 192)
    queues = [OpenVinoQueue(built / name, "f32") for name in ("m.xml", "u8.xml")]
    one, other = (queue.wait(queue.submit(frame.src, frame.bgr)) for queue in queues)
    assert np.array_equal(one.pha, other.pha)
    assert np.array_equal(one.fgr, other.fgr)


@pytest.mark.parametrize("reverse", [True, False])
def test_either_order_of_colours_is_fed_as_the_ir_wants_it(
    tmp_path: Path, *, reverse: bool
) -> None:
    """Whether an IR reverses its channels or not, it sees the BGR that it was made for."""
    path = _difference(tmp_path / "d.xml", reverse=reverse)
    (frame,) = composites(1, 9, 320, 192)
    queue = OpenVinoQueue(path, "f32")
    found = queue.wait(queue.submit(frame.src, frame.bgr))
    difference = frame.src.astype(np.float32) - frame.bgr
    expected = difference if reverse else difference[..., ::-1]
    assert np.array_equal(found.fgr, expected)
    assert np.array_equal(found.pha, expected[..., 0])


def test_a_graph_whose_plate_meets_the_frame_at_once_is_not_cut() -> None:
    """Nothing is computed from the plate alone, so there is nothing to keep."""
    src, bgr = (operators.parameter([1, 4, 4, 3], np.uint8, name) for name in ("src", "bgr"))
    for port, name in ((src, "src"), (bgr, "bgr")):
        port.output(0).set_names({name})
    assert split_plate_subgraph(openvino.Model([operators.subtract(src, bgr)], [src, bgr])) is None


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


def test_the_plain_onnx_is_the_probed_one(built: Path) -> None:
    """Without the inner tensors the outputs are the same, in a thread as well."""
    (frame,) = composites(1, 9, 320, 192)
    expected = OnnxRuntime(built / "m.onnx").infer(frame.src, frame.bgr)
    queue = SequentialQueue(OnnxRuntime(built / "m.onnx", plain=True, threads=1))
    found = queue.wait(queue.submit(frame.src, frame.bgr))
    queue.close()
    assert np.array_equal(found.pha, expected.pha)
    assert np.array_equal(found.fgr, expected.fgr)


def test_an_ir_that_is_none_is_said(tmp_path: Path) -> None:
    """A damaged file is a ValidationError that names it."""
    (tmp_path / "m.xml").write_text("<net/>")
    with pytest.raises(ValidationError, match=r"m\.xml: OpenVINO cannot run it"):
        OpenVinoQueue(tmp_path / "m.xml")


def test_a_failed_request_is_raised_and_not_waited_for(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result that can't be copied out is the error of whoever waits for it."""
    import toolchain.runtimes.openvino_async as module

    queue = OpenVinoQueue(built / "m.xml", "f32")
    (frame,) = composites(1, 9, 320, 192)

    def fails(*_: object) -> None:
        raise MemoryError("no room for the outputs")

    monkeypatch.setattr(module, "Prediction", fails)
    with pytest.raises(MemoryError, match="no room"):
        queue.wait(queue.submit(frame.src, frame.bgr))
    queue.close()
