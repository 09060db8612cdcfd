"""`matting serve` in a subprocess, and a viewer without a browser."""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import websocket
from PIL import Image

TIMEOUT = 120


@contextmanager
def server(model: Path, *more: str) -> Iterator[str]:
    """Run a server and yield its address. Ctrl-C at the end must stop it without an error."""
    command = [Path(sys.executable).with_name("matting"), "serve", "--model", model, "--port", "0"]
    process = subprocess.Popen(
        [*map(str, command), *more],  # the last --port is used
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://"), process.stderr.read()
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        try:
            _, stderr = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert "Traceback" not in stderr, stderr
    assert process.returncode == 0


def handshake(address: str, **headers: str) -> int:
    """Open a WebSocket and return the HTTP status: 101 if it was accepted."""
    parts = urlsplit(address)
    upgrade = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version": "13",
    }
    with closing(http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT)) as connection:
        connection.request("GET", "/socket", headers=upgrade | headers)
        with connection.getresponse() as response:
            return response.status


class Viewer:
    """A client that sends what the page sends."""

    def __init__(self, address: str, **options: Any) -> None:
        self.socket = websocket.create_connection(
            address.replace("http:", "ws:") + "socket", timeout=TIMEOUT, **options
        )

    def send_options(self, **options: Any) -> None:
        self.socket.send(json.dumps(options))

    def send_image(self, kind: int, number: int, data: bytes) -> None:
        self.socket.send_binary(struct.pack("<BI", kind, number) + data)

    def next(self) -> Any:
        received = self.socket.recv()
        return json.loads(received) if isinstance(received, str) else Reply(received)

    def until(self, kind: str) -> Any:
        """Return the next message of a type; "matte": the next reply to a frame."""
        while True:
            received = self.next()
            found = received["type"] if isinstance(received, dict) else "matte"
            if found == kind:
                return received

    def close(self) -> None:
        self.socket.close()
        self.socket.shutdown()  # close() does not if the server closed it first


class Reply:
    """The reply to a frame, decoded."""

    def __init__(self, data: bytes) -> None:
        self.number, self.dropped, self.inference_ms, self.total_ms = struct.unpack_from(
            "<IIff", data
        )
        image = np.asarray(Image.open(io.BytesIO(data[16:])).convert("RGB"))
        half = len(image) // 2
        self.foreground, self.alpha = image[:half], image[half:, :, 0]


@contextmanager
def connected_viewer(address: str, **options: Any) -> Iterator[Viewer]:
    """Connect a viewer, which has a model."""
    with closing(Viewer(address, **options)) as viewer:
        viewer.until("model")
        yield viewer


def encode(pixels: np.ndarray, image_format: str = "JPEG", **options: Any) -> bytes:
    """Encode an image file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format, **{"quality": 95, **options})
    return buffer.getvalue()
