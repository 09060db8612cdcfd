"""A web server on loopback with configurable faults."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Handler"], None]


@dataclass
class Asked:
    """One request.  `sent`: bytes of the body that were sent."""

    path: str
    headers: dict[str, str]
    sent: int = 0


class Handler(BaseHTTPRequestHandler):
    """Answers by the script of the path; the last answer of a script is repeated."""

    protocol_version = "HTTP/1.1"
    server: Server
    asked: Asked

    def do_GET(self) -> None:
        self.asked = Asked(self.path, {key.lower(): value for key, value in self.headers.items()})
        self.server.asked.append(self.asked)
        script = self.server.scripts.get(self.path.partition("?")[0])
        answer = page(404) if not script else script.pop(0) if len(script) > 1 else script[0]
        self.close_connection = True
        with contextlib.suppress(ConnectionError):
            answer(self)

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Connection", "close")
        self.end_headers()

    def body(self, data: bytes) -> None:
        for start in range(0, len(data), 1 << 16):
            piece = data[start : start + (1 << 16)]
            self.wfile.write(piece)
            self.asked.sent += len(piece)

    def log_message(self, *_: object) -> None:
        """No log."""


@dataclass
class File:
    """A file, sent correctly except for the given faults.

    `cut`: bytes of the body after which the connection is closed.  `reset`: closed by a reset.
    `declared`: a wrong Content-Length.  `ranges`: whether Range is honoured.  `strict`: whether
    If-Range is.  `stall`: seconds without data after `cut`.  `chunked`: without a length.
    """

    data: bytes
    etag: str | None = '"one"'
    modified: float | None = None
    cut: int | None = None
    reset: bool = False
    declared: int | None = None
    ranges: bool = True
    strict: bool = True
    stall: float = 0.0
    chunked: bool = False
    headers: dict[str, str] = field(default_factory=dict)

    def __call__(self, handler: Handler) -> None:
        start, headers = 0, dict(self.headers)
        if self.etag is not None:
            headers["ETag"] = self.etag
        if self.modified is not None:
            headers["Last-Modified"] = formatdate(self.modified, usegmt=True)
        wanted = handler.asked.headers.get("range")
        if self.ranges and wanted and self._same(handler.asked.headers.get("if-range")):
            found = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
            assert found is not None
            start = int(found[1])
            if start >= len(self.data):
                handler.head(416, Content_Range=f"bytes */{len(self.data)}", Content_Length=0)
                return
            headers["Content-Range"] = f"bytes {start}-{len(self.data) - 1}/{len(self.data)}"
        rest = self.data[start:]
        if self.chunked:
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers["Content-Length"] = str(len(rest) if self.declared is None else self.declared)
        handler.head(206 if "Content-Range" in headers else 200, **headers)
        part = rest if self.cut is None else rest[: self.cut]
        if self.chunked:
            handler.wfile.write(b"%x\r\n" % len(rest))
            handler.body(part)
            handler.wfile.write(b"\r\n0\r\n\r\n" if len(part) == len(rest) else b"")
        else:
            handler.body(part)
        handler.wfile.flush()
        if self.stall:
            handler.server.stopping.wait(self.stall)
        if self.reset:
            reset = struct.pack("ii", 1, 0)
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            handler.connection.close()

    def _same(self, asked: str | None) -> bool:
        if asked is None or not self.strict:
            return True
        dated = None if self.modified is None else formatdate(self.modified, usegmt=True)
        return asked in (self.etag, dated)


def page(status: int, text: str = "", **headers: object) -> Answer:
    """An answer with an HTML body."""
    body = (text or f"<!DOCTYPE html><html><body>{status}</body></html>").encode()

    def answer(handler: Handler) -> None:
        handler.head(status, **{"Content-Type": "text/html"}, **headers, Content_Length=len(body))
        handler.body(body)

    return answer


def redirect(target: str) -> Answer:
    """A redirect."""
    return lambda handler: handler.head(302, Location=target, Content_Length=0)


def slowly(data: bytes, pieces: int, seconds: float, etag: str = '"one"') -> Answer:
    """The whole file in `pieces` with a pause after each; ranges are honoured."""

    def answer(handler: Handler) -> None:
        start = 0
        wanted = re.fullmatch(r"bytes=(\d+)-", handler.asked.headers.get("range", ""))
        if wanted and handler.asked.headers.get("if-range") == etag:
            start = int(wanted[1])
        extra = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        handler.head(206 if start else 200, ETag=etag, Content_Length=len(data) - start, **extra)
        step = max(1, len(data) // pieces)
        for begin in range(start, len(data), step):
            handler.body(data[begin : begin + step])
            handler.wfile.flush()
            time.sleep(seconds)

    return answer


class Server(ThreadingHTTPServer):
    """`scripts`: answers by path.  `asked`: the requests in order."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.scheme = "http" if context is None else "https"
        if context is not None:
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )
        self.scripts: dict[str, list[Answer]] = {}
        self.asked: list[Asked] = []
        self.stopping = threading.Event()

    def serve(self, path: str, *script: Answer) -> str:
        """Answer requests for `path` by `script` in order; return the URL."""
        self.scripts[path] = list(script)
        return f"{self.base}{path}"

    @property
    def base(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"

    @property
    def sent(self) -> int:
        """Bytes of all bodies."""
        return sum(asked.sent for asked in self.asked)

    def handle_error(self, *_: object) -> None:
        """Clients may close connections."""


@contextlib.contextmanager
def running(context: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server in a thread; with TLS if a context is given."""
    server = Server(context)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()
