"""Queues give what the plain runtimes give, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from toolchain.catalog.arguments import ConversionSettings, ExportSettings
from toolchain.errors import ValidationError
from toolchain.frames.generated import composites
from toolchain.runtimes.onnx_runtime import OnnxRuntime
from toolchain.runtimes.openvino_async import OpenVinoQueue
from toolchain.runtimes.openvino_runtime import OpenVinoRuntime
from toolchain.runtimes.queued import OneByOne
from toolchain.stages.convert import ConvertRequest, convert
from toolchain.stages.export import ExportRequest, export

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


def test_the_plain_onnx_is_the_probed_one(built: Path) -> None:
    """Without the inner tensors the outputs are the same, in a thread as well."""
    (frame,) = composites(1, 9, 320, 192)
    expected = OnnxRuntime(built / "m.onnx").infer(frame.src, frame.bgr)
    queue = OneByOne(OnnxRuntime(built / "m.onnx", plain=True, threads=1))
    found = queue.wait(queue.submit(frame.src, frame.bgr))
    queue.close()
    assert np.array_equal(found.pha, expected.pha)
    assert np.array_equal(found.fgr, expected.fgr)


def test_an_ir_that_is_none_is_said(tmp_path: Path) -> None:
    """A damaged file is a ValidationError that names it."""
    (tmp_path / "m.xml").write_text("<net/>")
    with pytest.raises(ValidationError, match=r"m\.xml: OpenVINO can't run it"):
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
