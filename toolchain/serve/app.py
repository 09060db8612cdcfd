"""The page, its files and its socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from toolchain.catalog.builtin import data_file
from toolchain.serve.limits import VIEWERS
from toolchain.serve.models import Models
from toolchain.serve.viewer import GONE, Viewer

FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
LOOPBACK = ("localhost", "127.0.0.1", "::1")
REFUSED, FULL = 1008, 1013


def application(models: Models, *, local: bool) -> Starlette:
    """The server's parts.  `local`: whether it listens to this machine only.

    A page from elsewhere in the same browser can't use it: the name that it was asked for must be
    this machine's (if `local`), and a socket's page must be our own.
    """
    present: set[Viewer] = set()

    async def file(request: Request) -> Response:
        if local and not _for_us(request):
            return PlainTextResponse("This server answers to localhost only.\n", 421)
        name, kind = FILES[request.url.path]
        return Response(data_file(f"serve/{name}").read_bytes(), media_type=kind, headers=HEADERS)

    async def socket(socket: WebSocket) -> None:
        with suppress(*GONE):  # at any moment, also before the first word
            await meet(socket)

    async def meet(socket: WebSocket) -> None:
        if (local and not _for_us(socket)) or not _from_us(socket):
            await socket.close(REFUSED)
            return
        await socket.accept()
        if len(present) >= VIEWERS:
            await socket.close(FULL, "too many viewers")
            return
        viewer = Viewer(socket, models)
        present.add(viewer)
        try:
            await viewer.stay()
        finally:
            present.discard(viewer)

    endpoint: Callable[[Request], Awaitable[Response]] = file
    routes = [Route(path, endpoint) for path in FILES]
    return Starlette(routes=[*routes, WebSocketRoute("/socket", socket)])


def _for_us(connection: HTTPConnection) -> bool:
    return urlsplit(f"//{connection.headers.get('host', '')}").hostname in LOOPBACK


def _from_us(connection: HTTPConnection) -> bool:
    origin = connection.headers.get("origin")
    if origin is None:  # no browser
        return True
    return urlsplit(origin).netloc == connection.headers.get("host")
