"""The server without a browser: what it answers, what it drops, what it refuses."""

from __future__ import annotations

import socket as sockets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import websocket
from PIL import Image

import toolchain
from tests.support.clips import walk
from tests.support.serving import Viewer, handshake, packed, server, viewing
from toolchain.serve.limits import BURST, MESSAGE, VIEWERS

PLATE, FRAME = 1, 2


@pytest.fixture(scope="module")
def address(converted: Path) -> Iterator[str]:
    with server(converted) as told:
        yield told


@pytest.fixture(scope="module")
def scene() -> tuple[list[np.ndarray], np.ndarray]:
    return walk(8)


def seen(picture: bytes) -> np.ndarray:
    import io

    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_a_frame_comes_back_as_its_matte(
    address: str, converted: Path, scene: Any, kind: str
) -> None:
    """Foreground and alpha are those of the pictures that travelled, within JPEG's loss."""
    frame, plate = packed(scene[0][3], kind), packed(scene[1], kind)
    with toolchain.Matting(converted, as_bytes=True) as model:
        expected = model.matte(seen(frame), seen(plate))
    with viewing(address) as viewer:
        viewer.post(PLATE, 1, plate)
        assert viewer.until("plate")["number"] == 1
        viewer.post(FRAME, 7, frame)
        answer = viewer.until("matte")
    assert (answer.number, answer.dropped) == (7, 0)
    assert 0 < answer.model < answer.everything
    assert answer.alpha.shape == expected.alpha.shape
    assert np.abs(answer.alpha.astype(int) - expected.alpha).mean() < 3
    assert np.abs(answer.foreground.astype(int) - expected.foreground).mean() < 6


def test_the_newest_frame_is_answered_and_the_others_dropped(address: str, scene: Any) -> None:
    """Of many frames at once few are answered, in order, the last one for certain."""
    frames = [packed(frame) for frame in scene[0]]
    with viewing(address) as viewer:
        viewer.post(PLATE, 1, packed(scene[1]))
        for number in range(60):
            viewer.post(FRAME, 100 + number, frames[number % len(frames)])
        numbers, answer = [], None
        while not numbers or numbers[-1] != 159:
            answer = viewer.until("matte")
            numbers.append(answer.number)
    assert numbers == sorted(numbers)
    assert answer is not None
    assert len(numbers) + answer.dropped == 60
    assert answer.dropped > 10


def test_viewers_do_not_disturb_each_other(address: str, converted: Path, scene: Any) -> None:
    """Each of several viewers at once gets the mattes of its own frames and its own plate."""
    plates = [scene[1], scene[1][::-1].copy(), 255 - scene[1]]
    frames = [scene[0][2], scene[0][4][::-1].copy(), 255 - scene[0][6]]
    with toolchain.Matting(converted, as_bytes=True) as model:
        expected = [
            model.matte(seen(packed(frame)), seen(packed(plate))).alpha
            for frame, plate in zip(frames, plates, strict=True)
        ]

    def watch(which: int) -> list[float]:
        with viewing(address) as viewer:
            viewer.post(PLATE, 1, packed(plates[which]))
            apart = []
            for number in range(4):
                viewer.post(FRAME, number + 2, packed(frames[which]))
                answer = viewer.until("matte")
                assert answer.number == number + 2
                apart.append(np.abs(answer.alpha.astype(int) - expected[which]).mean())
            return apart

    with ThreadPoolExecutor(3) as pool:
        for apart in pool.map(watch, range(3)):
            assert max(apart) < 3


def test_a_viewer_who_does_not_read_holds_nobody_up(address: str, scene: Any) -> None:
    """While one viewer sends and never reads, another is answered."""
    with viewing(address) as idle, viewing(address) as viewer:
        idle.post(PLATE, 1, packed(scene[1]))
        for number in range(40):
            idle.post(FRAME, number, packed(scene[0][0]))
        viewer.post(PLATE, 1, packed(scene[1]))
        viewer.post(FRAME, 9, packed(scene[0][1]))
        assert viewer.until("matte").number == 9


def test_another_model_can_be_chosen_while_it_runs(address: str, scene: Any) -> None:
    """The other precision answers after it was chosen; an unknown one is said."""
    with viewing(address) as viewer:
        viewer.post(PLATE, 1, packed(scene[1]))
        viewer.tell(model="small-matting FP32", hint="f32")
        told = viewer.until("model")
        assert (told["model"], told["executed"]) == ("small-matting FP32", "f32")
        assert told["weights"] == "the published checkpoint"
        viewer.tell(model="resnet", hint="f32")
        assert "no model resnet" in viewer.until("error")["message"]
        viewer.post(FRAME, 2, packed(scene[0][0]))
        assert viewer.until("matte").number == 2


def test_a_shifted_plate_is_told_and_put_right(address: str, scene: Any) -> None:
    """The measured shift comes as advice; aligned, the matte is near the true one again."""
    frame, plate = scene[0][3], scene[1]
    moved = np.roll(plate, (3, -5), (0, 1))
    with viewing(address) as viewer:
        viewer.post(PLATE, 1, packed(plate))
        viewer.post(FRAME, 2, packed(frame))
        good = viewer.until("matte").alpha.astype(int)
        viewer.post(PLATE, 3, packed(moved))
        viewer.until("plate")
        viewer.post(FRAME, 4, packed(frame))
        assert "shifted against the plate by +5" in " ".join(viewer.until("advice")["lines"])
        bad = viewer.until("matte").alpha.astype(int)
        viewer.tell(align=True)
        viewer.post(FRAME, 5, packed(frame))
        assert "Plate put right" in " ".join(viewer.until("advice")["lines"])
        mended = viewer.until("matte").alpha.astype(int)
    assert np.abs(mended - good).mean() < 0.5 * np.abs(bad - good).mean()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "neither a frame nor a plate"),
        (b"\x07\x00\x00\x00\x00picture", "neither a frame nor a plate"),
        (b"\x01\x00\x00\x00\x00picture", "no whole JPEG or WebP"),
    ],
)
def test_rubbish_is_answered_in_words(address: str, data: bytes, words: str) -> None:
    """A message that means nothing is said so, and the viewer stays."""
    with viewing(address) as viewer:
        viewer.socket.send_binary(data)
        assert words in viewer.until("error")["message"]
        viewer.socket.send("[1]")
        assert "no JSON object" in viewer.until("error")["message"]


def test_pictures_are_limited(address: str, scene: Any) -> None:
    """A PNG, too many pixels, a frame before its plate, or of another size: words, no matte."""
    large = np.zeros((2000, 2000, 3), np.uint8)
    with viewing(address) as viewer:
        viewer.post(FRAME, 1, packed(scene[0][0]))
        assert "no clean plate" in viewer.until("error")["message"]
        viewer.post(PLATE, 2, packed(large))
        assert "2000x2000" in viewer.until("error")["message"]
        viewer.post(PLATE, 3, packed(scene[1], "PNG"))
        assert "no whole JPEG" in viewer.until("error")["message"]
        viewer.post(PLATE, 4, packed(scene[1][:100]))
        viewer.until("plate")
        viewer.post(FRAME, 5, packed(scene[0][0]))
        assert "take the plate again" in viewer.until("error")["message"]


def ended(viewer: Viewer) -> int:
    """The code that the server closed with."""
    while True:
        kind, data = viewer.socket.recv_data()
        if kind == websocket.ABNF.OPCODE_CLOSE:
            return int.from_bytes(data[:2], "big")


def test_rates_and_sizes_are_limited(address: str) -> None:
    """Too many messages, or one that is too large, end the connection."""
    with viewing(address) as viewer:
        with suppress(OSError, websocket.WebSocketException):
            for _ in range(int(BURST) + 200):
                viewer.tell(align=False)
        assert ended(viewer) == 1008
    with viewing(address) as viewer:
        try:
            viewer.socket.send_binary(bytes(MESSAGE + 1))
        except OSError:
            return  # cut off while it was still sending
        with pytest.raises((AssertionError, OSError, websocket.WebSocketException)):
            assert ended(viewer) not in (1009, 1006)


def test_only_so_many_viewers(address: str) -> None:
    """One more than the limit is turned away, with a code that says to come again."""
    with ExitStack() as stack:
        deadline = time.monotonic() + 30
        viewers: list[Viewer] = []
        while len(viewers) < VIEWERS and time.monotonic() < deadline:
            viewer = Viewer(address)  # those of earlier tests may still be leaving
            stack.callback(viewer.close)
            if isinstance(viewer.socket.recv(), str):
                viewers.append(viewer)
        assert len(viewers) == VIEWERS
        late = Viewer(address)
        stack.callback(late.close)
        assert ended(late) == 1013


def refusal(request: urllib.request.Request) -> int:
    try:
        urllib.request.urlopen(request).close()
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    return 200


def test_viewers_who_leave_at_once_are_no_error(address: str) -> None:
    """Gone before the first word, they leave no traceback (see `server`) and no place taken."""
    for _ in range(20):
        viewer = Viewer(address)
        viewer.socket.shutdown()
    with viewing(address) as viewer:
        viewer.tell(align=False)


def test_pages_from_elsewhere_are_refused(address: str) -> None:
    """Another site's page in the same browser gets no socket, and another name no page."""
    assert handshake(address, Origin=address.rstrip("/")) == 101
    assert handshake(address, Origin="http://evil.example") == 403
    assert handshake(address, Origin="http://evil.example", Host="evil.example") == 403
    request = urllib.request.Request(address, headers={"Host": "evil.example"})
    assert refusal(request) == 421


def test_the_page_asks_for_nothing_from_elsewhere(address: str) -> None:
    """Its files are there, with a policy that allows only this server; nothing else is."""
    for name in ("", "page.css", "page.js"):
        with urllib.request.urlopen(address + name) as answer:
            policy = answer.headers["Content-Security-Policy"]
            text = answer.read().decode()
        assert "default-src 'none'" in policy
        assert "http://" not in text
        assert "https://" not in text
    assert refusal(urllib.request.Request(address + "..%2f..%2fmodel.yml")) == 404


def test_an_open_address_is_said_to_be_open(converted: Path) -> None:
    """Listening beyond loopback has to be asked for, and the command says what that means."""
    command = [Path(sys.executable).with_name("matting"), "serve", "--model", converted]
    process = subprocess.Popen(
        [*map(str, command), "--host", "0.0.0.0", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("http://0.0.0.0:")
    time.sleep(1)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert "0.0.0.0 is OPEN" in said


def test_a_port_that_is_taken_is_said(converted: Path) -> None:
    """It is one sentence and exit code 2."""
    with sockets.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [Path(sys.executable).with_name("matting"), "serve", "--model", converted]
        done = subprocess.run(
            [*map(str, command), "--port", port], capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    assert f"can't listen at 127.0.0.1 port {port}" in done.stderr
    assert "Traceback" not in done.stderr
