"""`toolchain.Matting`: frames of any size in, mattes of the same size out, in order."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
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


def test_it_returns_what_the_runtime_returns(model: toolchain.Matting, frames: list[Frame]) -> None:
    """At the model's input size a matte equals the output of the IR bit for bit."""
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
    """With `as_bytes` each value is the float value times 255, rounded to nearest."""
    with toolchain.Matting(converted, hint="f32", as_bytes=True) as small:
        found = small.matte(frames[1].src, frames[1].bgr)
    exact = model.matte(frames[1].src, frames[1].bgr)
    assert found.alpha.dtype == found.foreground.dtype == np.uint8
    assert np.array_equal(found.alpha, np.rint(exact.alpha * 255))
    assert np.array_equal(found.foreground, np.rint(exact.foreground * 255))
    assert np.array_equal(found.cutout(), exact.cutout())


@pytest.mark.parametrize("size", [(640, 384), (401, 333), (90, 260), (320, 100)])
@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_matte_has_the_size_of_its_frame(
    converted: Path, size: tuple[int, int], as_bytes: bool
) -> None:
    """Sizes and aspect ratios may differ from the model's; values stay in their range."""
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
    """Each matte of a stream belongs to its own pair, also if the pairs differ in size."""
    mixed = [*frames, composite(1, 200, 200), *frames[::-1]]
    single = [model.matte(frame.src, frame.bgr) for frame in mixed]
    streamed = list(model.stream((frame.src, frame.bgr) for frame in mixed))
    assert len(streamed) == len(mixed)
    for found, expected in zip(streamed, single, strict=True):
        assert np.array_equal(found.alpha, expected.alpha)
        assert np.array_equal(found.foreground, expected.foreground)
    assert len(list(model.stream([]))) == 0


def test_an_asynchronous_stream_is_the_same(model: toolchain.Matting, frames: list[Frame]) -> None:
    """`stream_async` yields the same mattes in order, from plain and asynchronous iterables."""
    expected = [model.matte(frame.src, frame.bgr).alpha for frame in frames]

    async def generate() -> AsyncIterator[tuple[np.ndarray, np.ndarray]]:
        for frame in frames:
            await asyncio.sleep(0)
            yield frame.src, frame.bgr

    async def collect() -> list[list[np.ndarray]]:
        plain = [(frame.src, frame.bgr) for frame in frames]
        first = [matte.alpha async for matte in model.stream_async(plain)]
        return [first, [matte.alpha async for matte in model.stream_async(generate())]]

    for found in asyncio.run(collect()):
        assert all(map(np.array_equal, found, expected))
        assert len(found) == len(expected)


def test_an_error_in_a_stream_comes_after_the_mattes_before_it(
    model: toolchain.Matting, frames: list[Frame]
) -> None:
    """An exception from the iterable of pairs ends the stream; no matte before it is lost."""

    def read_pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for frame in frames[:4]:
            yield frame.src, frame.bgr
        raise OSError("cable unplugged")

    before = threading.active_count()
    found = []
    with pytest.raises(OSError, match="cable unplugged"):
        found.extend(model.stream(read_pairs()))
    assert len(found) == 4
    assert threading.active_count() <= before


def test_several_threads_may_call_it_at_once(model: toolchain.Matting, frames: list[Frame]) -> None:
    """Mattes requested by several threads are not mixed up."""
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
            "plate is 9x9, the frame is 9x8",
        ),
        ("frame.png", np.zeros((9, 9, 3), np.uint8), "src: .*found str"),
    ],
)
def test_an_invalid_pair_is_an_error(
    model: toolchain.Matting, src: np.ndarray, bgr: np.ndarray, words: str
) -> None:
    """An array of another type or shape is a FrameError that shows what was found."""
    with pytest.raises(FrameError, match=words):
        model.matte(src, bgr)


def test_an_unknown_device_is_an_error(converted: Path) -> None:
    """The ValidationError names the device."""
    with pytest.raises(ValidationError, match=r"can('|no)t run it on TPU"):
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
