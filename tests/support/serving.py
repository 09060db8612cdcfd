"""`matting serve` as a process of its own, and a viewer without a browser."""

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

PATIENCE = 120


@contextmanager
def server(model: Path, *more: str) -> Iterator[str]:
    """Its address; stopped by Ctrl-C at the end, which it must take well."""
    command = [Path(sys.executable).with_name("matting"), "serve", "--model", model, "--port", "0"]
    process = subprocess.Popen(
        [*map(str, command), *more],  # a later --port wins
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
            _, said = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert "Traceback" not in said, said
    assert process.returncode == 0


def handshake(address: str, **headers: str) -> int:
    """The status with which a socket is granted (101) or refused."""
    parts = urlsplit(address)
    asked = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version": "13",
    }
    with closing(http.client.HTTPConnection(parts.netloc, timeout=PATIENCE)) as connection:
        connection.request("GET", "/socket", headers=asked | headers)
        with connection.getresponse() as answer:
            return answer.status


class Viewer:
    """What the page does, in a few lines."""

    def __init__(self, address: str, **how: Any) -> None:
        self.socket = websocket.create_connection(
            address.replace("http:", "ws:") + "socket", timeout=PATIENCE, **how
        )

    def tell(self, **what: Any) -> None:
        self.socket.send(json.dumps(what))

    def post(self, kind: int, number: int, picture: bytes) -> None:
        self.socket.send_binary(struct.pack("<BI", kind, number) + picture)

    def next(self) -> Any:
        got = self.socket.recv()
        return json.loads(got) if isinstance(got, str) else Answer(got)

    def until(self, kind: str) -> Any:
        """The next message of that type; "matte": the next answer."""
        while True:
            got = self.next()
            if (isinstance(got, Answer) and kind == "matte") or (
                isinstance(got, dict) and got["type"] == kind
            ):
                return got

    def close(self) -> None:
        self.socket.close()
        self.socket.shutdown()  # which close leaves out where the server closed first


class Answer:
    """A matte as it travels."""

    def __init__(self, data: bytes) -> None:
        self.number, self.dropped, self.model, self.everything = struct.unpack_from("<IIff", data)
        both = np.asarray(Image.open(io.BytesIO(data[16:])).convert("RGB"))
        half = len(both) // 2
        self.foreground, self.alpha = both[:half], both[half:, :, 0]


@contextmanager
def viewing(address: str, **how: Any) -> Iterator[Viewer]:
    """A viewer who has said hello."""
    with closing(Viewer(address, **how)) as viewer:
        viewer.until("model")
        yield viewer


def packed(pixels: np.ndarray, kind: str = "JPEG", **how: Any) -> bytes:
    """A picture file's bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **{"quality": 95, **how})
    return buffer.getvalue()
