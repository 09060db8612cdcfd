"""A server on loopback that sends any bytes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Answer = Callable[[socket.socket, bytes, int], None]
TIMEOUT = 20.0


@contextmanager
def serving(answer: Answer) -> Iterator[int]:
    """Serve one try; yields the port.

    Args:
        answer: Gets the connection, the head of the request, and its number from 0.
    """
    stop = threading.Event()
    count = 0

    def talk(client: socket.socket, number: int) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(TIMEOUT)
            head = b""
            while b"\r\n\r\n" not in head:
                piece = client.recv(65536)
                if not piece:
                    return
                head += piece
            answer(client, head, number)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)

        def accept() -> None:
            nonlocal count
            while not stop.is_set():
                try:
                    client, _ = listening.accept()
                except (TimeoutError, OSError):
                    continue
                threading.Thread(target=talk, args=(client, count), daemon=True).start()
                count += 1

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            stop.set()
            thread.join()


def send(
    client: socket.socket, status: str = "200 OK", body: bytes = b"", **headers: object
) -> None:
    """Send a response; a header's `_` stands for `-`."""
    lines = [f"HTTP/1.1 {status}", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    client.sendall("\r\n".join([*lines, "", ""]).encode("latin1", "replace") + body)
