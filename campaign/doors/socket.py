"""The page of `matting serve`, tried with real clients."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from campaign import models
from campaign.damage import damage, text, value
from campaign.kinds import Door
from campaign.laws import MIB, Try
from campaign.processes import ROOT

GROWTH = 256 * MIB
TIMEOUT = 20.0


@dataclass
class Server:
    """The server of all tries."""

    process: subprocess.Popen[bytes]
    folder: tempfile.TemporaryDirectory[str]
    port: int
    base: int
    image: bytes

    @property
    def errors(self) -> str:
        """What it wrote to standard error so far."""
        return Path(self.folder.name, "stderr").read_text(errors="replace")

    def resident(self) -> int:
        """Return its memory in bytes."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def _prepare() -> Server:
    import numpy as np

    folder = tempfile.TemporaryDirectory(prefix="campaign-serve-")
    xml = models.write_model(Path(folder.name))
    command = [
        sys.executable,
        "-m",
        "toolchain.cli.main",
        "serve",
        "--model",
        str(xml),
        "--port",
        "0",
    ]
    with Path(folder.name, "stderr").open("wb") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT)
    assert process.stdout is not None
    found = re.search(rb":(\d+)/", process.stdout.readline())
    assert found is not None, Path(folder.name, "stderr").read_text()
    image = models.encode(np.zeros((models.SIZE[1], models.SIZE[0], 3), np.uint8), "JPEG")
    server = Server(process, folder, int(found[1]), 0, image)
    _check_alive(server)
    server.base = server.resident()
    return server


def _close(server: Server) -> None:
    server.process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.process.wait(20)
    server.process.kill()
    server.process.wait()
    if server.process.stdout is not None:
        server.process.stdout.close()
    server.folder.cleanup()


DOOR = Door("socket", (), _prepare, _close)


def _kind(name: str) -> Callable[[Callable[[Try, Server], None]], None]:
    """Register a client; afterwards the server answers, is as small as before, and was silent."""

    def register(client: Callable[[Try, Server], None]) -> None:
        @DOOR.kind(name)
        def attempt(one: Try) -> None:
            server: Server = one.shared
            before = len(server.errors)
            with contextlib.suppress(OSError, http.client.HTTPException):
                client(one, server)
            try:
                _check_alive(server)
            except (OSError, http.client.HTTPException) as error:
                one.expect(False, "hang", f"the server does not answer: {error}")
                return
            growth = max(0, server.resident() - server.base)
            one.peak_memory = max(one.peak_memory, growth)
            one.expect(growth < GROWTH, "memory or disk", f"{growth // MIB} MiB more than before")
            said = server.errors[before:]
            one.expect("Traceback" not in said, "traceback", said[-300:])

    return register


def _check_alive(server: Server) -> None:
    end = time.monotonic() + TIMEOUT
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
        with contextlib.closing(connection):
            connection.request("GET", "/")
            if connection.getresponse().status == 200:
                return
        if time.monotonic() > end:
            raise OSError("no page")
        time.sleep(0.1)


def _connect(server: Server) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port), timeout=5)
    client.settimeout(3)
    return client


def _ask(server: Server, head: bytes) -> bytes:
    with _connect(server) as client:
        client.sendall(head)
        return client.recv(1000)


def _upgrade(server: Server, **headers: str) -> bytes:
    given = {
        "Host": f"127.0.0.1:{server.port}",
        "Origin": f"http://127.0.0.1:{server.port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
        "Sec-WebSocket-Version": "13",
        **{key.replace("_", "-"): item for key, item in headers.items()},
    }
    lines = ["GET /socket HTTP/1.1", *(f"{key}: {item}" for key, item in given.items()), "", ""]
    return "\r\n".join(lines).encode("utf-8", "replace")


@contextlib.contextmanager
def _viewer(server: Server) -> Iterator[socket.socket]:
    with _connect(server) as client:
        client.sendall(_upgrade(server))
        client.recv(1000)
        yield client


def _frame(data: bytes, code: int = 2, *, final: bool = True, mask: bool = True) -> bytes:
    size = len(data)
    bit = 0x80 if mask else 0
    first = (0x80 if final else 0) | code
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    return head + (bytes(4) if mask else b"") + data


HOSTS = ("[", "[::1", "]", "http://[v1]", "[v1]", "evil.example", "localhost@evil.example", "")


@_kind("a Host of any text")
def _host(one: Try, server: Server) -> None:
    host = one.rng.choice((*HOSTS, text(one.rng))).replace("\r", "").replace("\n", "")
    reply = _ask(server, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("utf-8", "replace"))
    one.expect(b"200 OK" not in reply[:20], "wrong artefact", f"the page for Host {host!r}")


@_kind("an Origin of any text")
def _origin(one: Try, server: Server) -> None:
    origin = one.rng.choice(
        ("http://[", "http://[v1]", "null", "http://evil.example", text(one.rng))
    )
    origin = origin.replace("\r", "").replace("\n", "")
    reply = _ask(server, _upgrade(server, Origin=origin))
    one.expect(b" 101 " not in reply[:20], "wrong artefact", f"a WebSocket for Origin {origin!r}")


@_kind("a damaged request")
def _request(one: Try, server: Server) -> None:
    _ask(server, damage(_upgrade(server), one.rng) + b"\r\n\r\n")


@_kind("bytes that are not HTTP")
def _garbage(one: Try, server: Server) -> None:
    _ask(server, one.rng.randbytes(one.rng.randint(1, 100_000)))


@_kind("damaged WebSocket frames")
def _frames(one: Try, server: Server) -> None:
    with _viewer(server) as client:
        image = struct.pack("<BI", 2, 7) + server.image
        for _ in range(5):
            client.sendall(damage(_frame(image), one.rng))
            client.recv(5000)


@_kind("options of any JSON")
def _options(one: Try, server: Server) -> None:
    with _viewer(server) as client:
        for _ in range(5):
            content = {one.rng.choice(("model", "hint", "align", "exposure")): value(one.rng)}
            texts = (
                json.dumps(content),
                json.dumps(value(one.rng)),
                '{"model":"\\ud800"}',
                "[" * 50_000,
            )
            client.sendall(_frame(one.rng.choice(texts).encode(), 1))
            client.recv(5000)


@_kind("damaged images")
def _images(one: Try, server: Server) -> None:
    with _viewer(server) as client:
        for kind in (1, 2, 1, 2):
            data = damage(server.image, one.rng)
            client.sendall(_frame(struct.pack("<BI", kind, 1) + data))
            client.recv(5000)


@_kind("messages that are too large, or never end")
def _large(one: Try, server: Server) -> None:
    with _viewer(server) as client:
        if one.rng.random() < 0.5:
            client.sendall(_frame(bytes(6 << 20)))
        else:
            client.sendall(_frame(bytes(1000), final=False))
            for _ in range(9000):
                client.sendall(_frame(bytes(1000), 0, final=False))
        client.recv(1000)


@_kind("pings whose answers are not read")
def _pings(_: Try, server: Server) -> None:
    with _viewer(server) as client:
        ping = _frame(b"x" * 125, 9)
        for _number in range(300):
            client.sendall(ping * 1000)


@_kind("viewers that leave at once")
def _leave(one: Try, server: Server) -> None:
    for _ in range(10):
        with _connect(server) as client:
            client.sendall(_upgrade(server)[: one.rng.randrange(1, 400)])
            linger = struct.pack("ii", 1, 0)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


@_kind("more viewers than there are places")
def _many(_: Try, server: Server) -> None:
    with contextlib.ExitStack() as stack:
        for _number in range(12):
            client = stack.enter_context(_connect(server))
            client.sendall(_upgrade(server))
            client.recv(1000)
