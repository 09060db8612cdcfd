"""The Python API: frames of any size in, mattes of that size out, in order."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest

import toolchain
from toolchain.errors import FrameError, ValidationError
from toolchain.frames.frame import Frame
from toolchain.frames.generated import composite, composites
from toolchain.runtimes.openvino_runtime import OpenVinoRuntime

SIZE = (320, 192)


@pytest.fixture(scope="module")
def model(converted: Path) -> toolchain.Matting:
    return toolchain.Matting(converted, hint="f32")


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return list(composites(6, 40, *SIZE))


def test_it_gives_what_the_runtime_gives(model: toolchain.Matting, frames: list[Frame]) -> None:
    """At the model's own size a matte is bit for bit that of the IR."""
    assert model.located.precision == "FP16"
    assert (model.size, model.executed) == (SIZE, "f32")
    assert model.facts["weights"] == "upstream"
    runtime = OpenVinoRuntime(model.located.xml, "f32")
    found = model.matte(frames[0].src, frames[0].bgr)
    expected = runtime.infer(frames[0].src, frames[0].bgr)
    assert np.array_equal(found.alpha, expected.pha)
    assert np.array_equal(found.foreground, expected.fgr)
    assert found.alpha.dtype == found.foreground.dtype == np.float32


def test_bytes_are_the_rounded_floats(
    model: toolchain.Matting, converted: Path, frames: list[Frame]
) -> None:
    """With `as_bytes` each value is the float one times 255, rounded to nearest."""
    with toolchain.Matting(converted, hint="f32", as_bytes=True) as small:
        found = small.matte(frames[1].src, frames[1].bgr)
    exact = model.matte(frames[1].src, frames[1].bgr)
    assert found.alpha.dtype == found.foreground.dtype == np.uint8
    assert np.array_equal(found.alpha, np.rint(exact.alpha * 255))
    assert np.array_equal(found.foreground, np.rint(exact.foreground * 255))
    assert np.array_equal(found.cutout(), exact.cutout())


@pytest.mark.parametrize("size", [(640, 384), (401, 333), (90, 260), (320, 100)])
@pytest.mark.parametrize("as_bytes", [False, True])
def test_any_size_comes_back_at_its_size(
    converted: Path, size: tuple[int, int], as_bytes: bool
) -> None:
    """Larger, smaller, upright or odd: the matte has the frame's size and the values' range."""
    frame = composite(7, *size)
    with toolchain.Matting(converted, as_bytes=as_bytes) as model:
        found = model.matte(frame.src, frame.bgr)
    assert found.alpha.shape == (size[1], size[0])
    assert found.foreground.shape == (size[1], size[0], 3)
    top = 255 if as_bytes else 1
    assert found.alpha.dtype == found.foreground.dtype
    assert 0 <= found.alpha.min() <= found.alpha.max() <= top
    assert 0 <= found.foreground.min() <= found.foreground.max() <= top


def test_a_stream_keeps_the_order_with_several_in_flight(
    model: toolchain.Matting, frames: list[Frame]
) -> None:
    """Each matte of a stream is that of its own pair, at whatever size each pair has."""
    mixed = [*frames, composite(1, 200, 200), *frames[::-1]]
    alone = [model.matte(frame.src, frame.bgr) for frame in mixed]
    streamed = list(model.stream((frame.src, frame.bgr) for frame in mixed))
    assert len(streamed) == len(mixed)
    for found, expected in zip(streamed, alone, strict=True):
        assert np.array_equal(found.alpha, expected.alpha)
        assert np.array_equal(found.foreground, expected.foreground)
    assert len(list(model.stream([]))) == 0


def test_an_asynchronous_stream_is_the_same(model: toolchain.Matting, frames: list[Frame]) -> None:
    """From an event loop, of plain or asynchronous pairs, the same mattes come in order."""
    expected = [model.matte(frame.src, frame.bgr).alpha for frame in frames]

    async def drip() -> AsyncIterator[tuple[np.ndarray, np.ndarray]]:
        for frame in frames:
            await asyncio.sleep(0)
            yield frame.src, frame.bgr

    async def collected() -> list[list[np.ndarray]]:
        plain = [(frame.src, frame.bgr) for frame in frames]
        first = [matte.alpha async for matte in model.stream_async(plain)]
        return [first, [matte.alpha async for matte in model.stream_async(drip())]]

    for found in asyncio.run(collected()):
        assert all(map(np.array_equal, found, expected))
        assert len(found) == len(expected)


def test_an_error_in_a_stream_comes_after_the_mattes_before_it(
    model: toolchain.Matting, frames: list[Frame]
) -> None:
    """What the source of pairs raises ends the stream; nothing before it is lost."""

    def pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for frame in frames[:4]:
            yield frame.src, frame.bgr
        raise OSError("the cable is out")

    before = threading.active_count()
    found = []
    with pytest.raises(OSError, match="cable"):
        found.extend(model.stream(pairs()))
    assert len(found) == 4
    assert threading.active_count() <= before


def test_several_threads_may_ask_at_once(model: toolchain.Matting, frames: list[Frame]) -> None:
    """Mattes asked for from many threads are not mixed up."""
    from concurrent.futures import ThreadPoolExecutor

    expected = [model.matte(frame.src, frame.bgr).alpha for frame in frames]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda frame: model.matte(frame.src, frame.bgr).alpha, frames * 4))
    assert all(map(np.array_equal, found, expected * 4))


@pytest.mark.parametrize(
    ("src", "bgr", "words"),
    [
        (np.zeros((9, 9, 3), np.float32), np.zeros((9, 9, 3), np.uint8), "src: .*9x9x3 float32"),
        (np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9, 4), np.uint8), "bgr: .*9x9x4 uint8"),
        (np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.uint8), "src: .*9x9 uint8"),
        (np.zeros((0, 9, 3), np.uint8), np.zeros((0, 9, 3), np.uint8), "src: .*0x9x3"),
        (
            np.zeros((8, 9, 3), np.uint8),
            np.zeros((9, 9, 3), np.uint8),
            "plate is 9x9, the frame 9x8",
        ),
        ("frame.png", np.zeros((9, 9, 3), np.uint8), "src: .*got str"),
    ],
)
def test_what_is_no_pair_is_said(
    model: toolchain.Matting, src: np.ndarray, bgr: np.ndarray, words: str
) -> None:
    """An array of another kind or size is a FrameError that tells what was found."""
    with pytest.raises(FrameError, match=words):
        model.matte(src, bgr)


def test_a_device_that_is_not_there_is_said(converted: Path) -> None:
    """An unknown device is a ValidationError that names it."""
    with pytest.raises(ValidationError, match="can't run it on TPU"):
        toolchain.Matting(converted, device="TPU")


def test_importing_it_loads_nothing_heavy() -> None:
    """`import toolchain` loads neither numpy nor OpenVINO; asking for Matting does."""
    code = (
        "import sys, toolchain\n"
        "heavy = {'numpy', 'openvino', 'torch', 'PIL'}\n"
        "assert not heavy & set(sys.modules)\n"
        "assert toolchain.Matting.__name__ == 'Matting' and toolchain.Matte.__name__ == 'Matte'\n"
        "assert 'torch' not in sys.modules and 'openvino' in sys.modules\n"
        "try: toolchain.Nothing\n"
        "except AttributeError: sys.exit(0)\n"
        "sys.exit(1)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
