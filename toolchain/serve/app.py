"""The web application: the page, its files and its WebSocket. Needs the extra `demo`."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress
from urllib.parse import urlsplit

import uvicorn
import wsproto
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

from toolchain.catalog.builtin import data_file
from toolchain.serve.limits import MAX_CONNECTIONS, MAX_MESSAGE, MAX_UNREAD, MAX_VIEWERS
from toolchain.serve.models import Models
from toolchain.serve.viewer import DISCONNECTED, POLICY_VIOLATION, Viewer

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
TRY_AGAIN_LATER = 1013  # close code of the WebSocket
SHUTDOWN_SECONDS = 2  # for open connections to close


class _LimitedProtocol(WSProtocol):
    """uvicorn's WebSocket, closed if the answers to its pings are not read."""

    def handle_ping(self, event: wsproto.events.Ping) -> None:
        if self.transport.get_write_buffer_size() > MAX_UNREAD:
            self.transport.abort()
            return
        super().handle_ping(event)


def run_app(models: Models, listening: socket.socket, *, host: str, is_local: bool) -> None:
    """Serve the page until the process is interrupted.

    Args:
        models: Models to choose from.
        listening: Socket to accept connections on.
        host: Address or name of this machine that the user asked to listen on.
        is_local: Whether only this machine can connect.
    """
    config = uvicorn.Config(
        build_app(models, host=host, is_local=is_local),
        ws=_LimitedProtocol,
        ws_max_size=MAX_MESSAGE,
        ws_per_message_deflate=False,  # a small message may inflate to a large one
        limit_concurrency=MAX_CONNECTIONS,
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        use_colors=False,  # standard error escapes control characters
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    with suppress(KeyboardInterrupt):  # uvicorn raises it again after its shutdown
        uvicorn.Server(config).run(sockets=[listening])


def build_app(models: Models, *, host: str = "localhost", is_local: bool) -> Starlette:
    """Build the web application.

    Other web pages in the user's browser cannot use it: the Host header must name this machine, and
    the Origin of a WebSocket must be this server.

    Args:
        models: Models to choose from.
        host: Address or name of this machine that the user asked to listen on.
        is_local: Whether only this machine can connect.

    Returns:
        The application.
    """
    viewers: set[Viewer] = set()
    own_names = {*LOOPBACK} if is_local else {*LOOPBACK, *_own_names(host)}

    def is_own_host(connection: HTTPConnection) -> bool:
        name = _parse_host(f"//{connection.headers.get('host', '')}")[0]
        return name in own_names or (not is_local and _is_address(name))

    async def send_file(request: Request) -> Response:
        if not is_own_host(request):
            return PlainTextResponse("This server answers to its own address only.\n", 421)
        name, media_type = FILES[request.url.path]
        content = data_file(f"serve/{name}").read_bytes()
        return Response(content, media_type=media_type, headers=HEADERS)

    async def accept(websocket: WebSocket) -> None:
        with suppress(*DISCONNECTED):
            await serve_viewer(websocket)

    async def serve_viewer(websocket: WebSocket) -> None:
        if not is_own_host(websocket) or not _has_own_origin(websocket):
            await websocket.close(POLICY_VIOLATION)
            return
        await websocket.accept()
        if len(viewers) >= MAX_VIEWERS:
            await websocket.close(TRY_AGAIN_LATER, "too many viewers")
            return
        viewer = Viewer(websocket, models)
        viewers.add(viewer)
        try:
            await viewer.run()
        finally:
            viewers.discard(viewer)

    routes = [Route(path, send_file) for path in FILES]
    return Starlette(routes=[*routes, WebSocketRoute("/socket", accept)])


def _own_names(host: str) -> set[str]:
    """Return the names by which other machines may know this one."""
    name = socket.gethostname().lower()
    return {host.lower(), name, f"{name}.local"}


def _is_address(name: str) -> bool:
    """Whether it is a number: another web page's name cannot be made to point to this server."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _has_own_origin(connection: HTTPConnection) -> bool:
    origin = connection.headers.get("origin")
    if origin is None:  # not a browser
        return True
    return _parse_host(origin)[1] == connection.headers.get("host")


def _parse_host(url: str) -> tuple[str, str]:
    """Return host name and network location of an address; "" of one that is not valid."""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "").rstrip("."), parts.netloc
    except ValueError:
        return "", ""
