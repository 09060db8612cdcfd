"""The server without a browser: replies, dropped frames, limits and refused connections."""

from __future__ import annotations

import io
import socket
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
from tests.support.clips import make_walk
from tests.support.serving import Viewer, connected_viewer, encode, handshake, server
from toolchain.serve.limits import BURST, MAX_MESSAGE, MAX_VIEWERS

PLATE, FRAME = 1, 2


@pytest.fixture(scope="module")
def address(converted: Path) -> Iterator[str]:
    with server(converted) as served:
        yield served


@pytest.fixture(scope="module")
def scene() -> tuple[list[np.ndarray], np.ndarray]:
    return make_walk(8)


def decode(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("image_format", ["JPEG", "WEBP"])
def test_the_reply_to_a_frame_is_its_matte(
    address: str, converted: Path, scene: Any, image_format: str
) -> None:
    """Foreground and alpha match those of the decoded images, within the loss of JPEG."""
    frame, plate = encode(scene[0][3], image_format), encode(scene[1], image_format)
    with toolchain.Matting(converted, as_bytes=True) as model:
        expected = model.matte(decode(frame), decode(plate))
    with connected_viewer(address) as viewer:
        viewer.send_image(PLATE, 1, plate)
        assert viewer.until("plate")["number"] == 1
        viewer.send_image(FRAME, 7, frame)
        reply = viewer.until("matte")
    assert (reply.number, reply.dropped) == (7, 0)
    assert 0 < reply.inference_ms < reply.total_ms
    assert reply.alpha.shape == expected.alpha.shape
    assert np.abs(reply.alpha.astype(int) - expected.alpha).mean() < 3
    assert np.abs(reply.foreground.astype(int) - expected.foreground).mean() < 6


def test_the_newest_frame_is_processed_and_others_are_dropped(address: str, scene: Any) -> None:
    """Of many frames at once few get a reply, in order; the last one always does."""
    frames = [encode(frame) for frame in scene[0]]
    with connected_viewer(address) as viewer:
        viewer.send_image(PLATE, 1, encode(scene[1]))
        for number in range(60):
            viewer.send_image(FRAME, 100 + number, frames[number % len(frames)])
        numbers, reply = [], None
        while not numbers or numbers[-1] != 159:
            reply = viewer.until("matte")
            numbers.append(reply.number)
    assert numbers == sorted(numbers)
    assert reply is not None
    assert len(numbers) + reply.dropped == 60
    assert reply.dropped > 10


def test_viewers_are_independent(address: str, converted: Path, scene: Any) -> None:
    """Each of several viewers gets the mattes of its own frames and clean plate."""
    plates = [scene[1], scene[1][::-1].copy(), 255 - scene[1]]
    frames = [scene[0][2], scene[0][4][::-1].copy(), 255 - scene[0][6]]
    with toolchain.Matting(converted, as_bytes=True) as model:
        expected = [
            model.matte(decode(encode(frame)), decode(encode(plate))).alpha
            for frame, plate in zip(frames, plates, strict=True)
        ]

    def watch(which: int) -> list[float]:
        with connected_viewer(address) as viewer:
            viewer.send_image(PLATE, 1, encode(plates[which]))
            differences = []
            for number in range(4):
                viewer.send_image(FRAME, number + 2, encode(frames[which]))
                reply = viewer.until("matte")
                assert reply.number == number + 2
                differences.append(np.abs(reply.alpha.astype(int) - expected[which]).mean())
            return differences

    with ThreadPoolExecutor(3) as pool:
        for differences in pool.map(watch, range(3)):
            assert max(differences) < 3


def test_a_viewer_that_does_not_read_blocks_no_other(address: str, scene: Any) -> None:
    """While one viewer sends and never reads, another gets its reply."""
    with connected_viewer(address) as idle, connected_viewer(address) as viewer:
        idle.send_image(PLATE, 1, encode(scene[1]))
        for number in range(40):
            idle.send_image(FRAME, number, encode(scene[0][0]))
        viewer.send_image(PLATE, 1, encode(scene[1]))
        viewer.send_image(FRAME, 9, encode(scene[0][1]))
        assert viewer.until("matte").number == 9


def test_another_model_can_be_chosen(address: str, scene: Any) -> None:
    """Another precision is used from then on; an unknown model is an error."""
    with connected_viewer(address) as viewer:
        viewer.send_image(PLATE, 1, encode(scene[1]))
        viewer.send_options(model="small-matting FP32", hint="f32")
        message = viewer.until("model")
        assert (message["model"], message["executed"]) == ("small-matting FP32", "f32")
        assert message["weights"] == "the published checkpoint"
        viewer.send_options(model="resnet", hint="f32")
        assert "model not found: resnet" in viewer.until("error")["message"]
        viewer.send_image(FRAME, 2, encode(scene[0][0]))
        assert viewer.until("matte").number == 2


def test_a_shifted_plate_is_reported_and_aligned(address: str, scene: Any) -> None:
    """The measured offset is sent as advice; alignment restores the matte."""
    frame, plate = scene[0][3], scene[1]
    moved = np.roll(plate, (3, -5), (0, 1))
    with connected_viewer(address) as viewer:
        viewer.send_image(PLATE, 1, encode(plate))
        viewer.send_image(FRAME, 2, encode(frame))
        good = viewer.until("matte").alpha.astype(int)
        viewer.send_image(PLATE, 3, encode(moved))
        viewer.until("plate")
        viewer.send_image(FRAME, 4, encode(frame))
        assert "the frame is offset by +5" in " ".join(viewer.until("advice")["lines"])
        bad = viewer.until("matte").alpha.astype(int)
        viewer.send_options(align=True)
        viewer.send_image(FRAME, 5, encode(frame))
        assert "Clean plate corrected" in " ".join(viewer.until("advice")["lines"])
        aligned = viewer.until("matte").alpha.astype(int)
    assert np.abs(aligned - good).mean() < 0.5 * np.abs(bad - good).mean()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "neither a frame nor a clean plate"),
        (b"\x07\x00\x00\x00\x00image", "neither a frame nor a clean plate"),
        (b"\x01\x00\x00\x00\x00image", "not a complete JPEG or WebP"),
    ],
)
def test_an_invalid_message_gets_an_error(address: str, data: bytes, words: str) -> None:
    """The error says what was expected, and the viewer stays connected."""
    with connected_viewer(address) as viewer:
        viewer.socket.send_binary(data)
        assert words in viewer.until("error")["message"]
        for text in ("[1]", "[" * 100_000):
            viewer.socket.send(text)
            assert "not a JSON object" in viewer.until("error")["message"]
        viewer.socket.send(r'{"model": "\ud800\u001b"}')
        assert viewer.until("error")["message"] == r"model not found: \ud800\x1b at default"


def test_invalid_images_get_an_error(address: str, scene: Any) -> None:
    """A PNG, too many pixels, a frame before its plate, or one of another size get no matte."""
    large = np.zeros((2000, 2000, 3), np.uint8)
    with connected_viewer(address) as viewer:
        viewer.send_image(FRAME, 1, encode(scene[0][0]))
        assert "no clean plate" in viewer.until("error")["message"]
        viewer.send_image(PLATE, 2, encode(large))
        assert "2000x2000" in viewer.until("error")["message"]
        viewer.send_image(PLATE, 3, encode(scene[1], "PNG"))
        assert "not a complete JPEG" in viewer.until("error")["message"]
        viewer.send_image(PLATE, 4, encode(scene[1][:100]))
        viewer.until("plate")
        viewer.send_image(FRAME, 5, encode(scene[0][0]))
        assert "take the clean plate again" in viewer.until("error")["message"]


def receive_close_code(viewer: Viewer) -> int:
    """Read messages until the server closes the WebSocket, and return its code."""
    while True:
        kind, data = viewer.socket.recv_data()
        if kind == websocket.ABNF.OPCODE_CLOSE:
            return int.from_bytes(data[:2], "big")


def test_rate_and_size_of_messages_are_limited(address: str) -> None:
    """Too many messages, or one that is too large, close the connection."""
    with connected_viewer(address) as viewer:
        with suppress(OSError, websocket.WebSocketException):
            for _ in range(int(BURST) + 200):
                viewer.send_options(align=False)
        assert receive_close_code(viewer) == 1008
    with connected_viewer(address) as viewer:
        try:
            viewer.socket.send_binary(bytes(MAX_MESSAGE + 1))
        except OSError:
            return  # closed before everything was sent
        with pytest.raises((AssertionError, OSError, websocket.WebSocketException)):
            assert receive_close_code(viewer) not in (1009, 1006)


def test_the_number_of_viewers_is_limited(address: str) -> None:
    """One more than the limit is refused with the code for "try again later"."""
    with ExitStack() as stack:
        deadline = time.monotonic() + 30
        viewers: list[Viewer] = []
        while len(viewers) < MAX_VIEWERS and time.monotonic() < deadline:
            viewer = Viewer(address)  # viewers of earlier tests may still be closing
            stack.callback(viewer.close)
            if isinstance(viewer.socket.recv(), str):
                viewers.append(viewer)
        assert len(viewers) == MAX_VIEWERS
        late = Viewer(address)
        stack.callback(late.close)
        assert receive_close_code(late) == 1013


def get_status(request: urllib.request.Request) -> int:
    try:
        urllib.request.urlopen(request).close()
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    return 200


def test_viewers_that_disconnect_at_once_are_no_error(address: str) -> None:
    """They cause no traceback (checked by `server`) and free their places."""
    for _ in range(20):
        viewer = Viewer(address)
        viewer.socket.shutdown()
    with connected_viewer(address) as viewer:
        viewer.send_options(align=False)


def test_other_pages_are_refused(address: str) -> None:
    """A page of another site gets no WebSocket, and another host name gets no page."""
    assert handshake(address, Origin=address.rstrip("/")) == 101
    assert handshake(address, Origin="http://evil.example") == 403
    assert handshake(address, Origin="http://evil.example", Host="evil.example") == 403
    request = urllib.request.Request(address, headers={"Host": "evil.example"})
    assert get_status(request) == 421


@pytest.mark.parametrize("host", ["[", "[::1", "]", "[v1]", "localhost@evil.example"])
def test_a_malformed_host_is_refused(address: str, host: str) -> None:
    """The page and the WebSocket answer with a status for the client's fault."""
    assert get_status(urllib.request.Request(address, headers={"Host": host})) in (400, 421)
    assert handshake(address, Host=host) in (400, 403)


@pytest.mark.parametrize("origin", ["http://[", "http://[v1]", "null", "]"])
def test_a_malformed_origin_is_refused(address: str, origin: str) -> None:
    """It is the origin of another page."""
    assert handshake(address, Origin=origin) == 403


def test_answers_to_pings_that_nobody_reads_end_the_connection(address: str) -> None:
    """The server keeps no more than a limited number of bytes for a client."""
    with connected_viewer(address) as viewer:
        ping = websocket.ABNF.create_frame(b"x" * 125, websocket.ABNF.OPCODE_PING).format()
        viewer.socket.sock.settimeout(5)
        with pytest.raises(OSError, match=r"reset|Broken pipe|aborted"):
            viewer.socket.sock.sendall(ping * 400_000)


def test_an_open_server_answers_to_its_own_names_only(converted: Path) -> None:
    """An address in numbers is accepted; the name of another site is not."""
    with server(converted, "--host", "0.0.0.0") as address:
        local = address.replace("0.0.0.0", "127.0.0.1")
        for host, status in (("192.0.2.1:8765", 200), ("evil.example", 421), ("[", 421)):
            request = urllib.request.Request(local, headers={"Host": host})
            assert get_status(request) == status


def test_the_page_loads_nothing_from_other_servers(address: str) -> None:
    """Its files are served with a policy that allows only this server; other paths are not."""
    for name in ("", "page.css", "page.js"):
        with urllib.request.urlopen(address + name) as reply:
            policy = reply.headers["Content-Security-Policy"]
            text = reply.read().decode()
        assert "default-src 'none'" in policy
        assert "http://" not in text
        assert "https://" not in text
    assert get_status(urllib.request.Request(address + "..%2f..%2fmodel.yml")) == 404


def test_a_public_address_is_reported(converted: Path) -> None:
    """If other machines can connect, the command warns about it."""
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
    _, stderr = process.communicate(timeout=60)
    assert "0.0.0.0 is OPEN" in stderr


def test_a_port_in_use_is_an_error(converted: Path) -> None:
    """The command prints one sentence and exits with code 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [Path(sys.executable).with_name("matting"), "serve", "--model", converted]
        done = subprocess.run(
            [*map(str, command), "--port", port], capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in done.stderr
    assert "Traceback" not in done.stderr
