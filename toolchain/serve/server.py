"""`serve`: listen until somebody stops it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from toolchain.errors import ToolchainError, UsageError

GRACE = 2  # seconds for open connections to end


@dataclass(frozen=True)
class ServeRequest:
    """`models`: folders of builds or IRs.  `host`, `port`: where to listen; port 0: any."""

    models: tuple[Path, ...]
    host: str = "127.0.0.1"
    port: int = 8765
    device: str = "CPU"


def is_local(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(request: ServeRequest, ready: Callable[[str], None]) -> None:
    """Serve the page; `ready` is told its address.  Returns after Ctrl-C.

    Raises UsageError for models that are not there, ValidationError for one that can't be run,
    ToolchainError where the address can't be listened at or the extra `demo` is not installed.
    """
    try:
        import uvicorn
        import wsproto

        from toolchain.serve.app import application
    except ImportError as error:
        raise ToolchainError(
            f"The page needs Starlette, uvicorn and wsproto, which are not all installed ({error})",
            hint="Install them: `pip install 'background-matting-toolchain[demo]'`.",
        ) from error
    assert wsproto
    from toolchain.serve.limits import MESSAGE
    from toolchain.serve.models import HINTS, Models

    models = Models(request.models, request.device)
    first = models.get(models.keys[0], HINTS[0])  # what can't be run is said before anybody looks
    listening = _listening(request)
    config = uvicorn.Config(
        application(models, local=is_local(request.host)),
        ws="wsproto",
        ws_max_size=MESSAGE,
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    ready(f"http://{shown}:{port}/")
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:  # uvicorn passes it on after it has closed everything
        return
    finally:
        listening.close()
        first.close()


def _listening(request: ServeRequest) -> socket.socket:
    try:
        family = socket.getaddrinfo(request.host, request.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((request.host, request.port), family=family)
    except OSError as error:
        raise UsageError(
            f"can't listen at {request.host} port {request.port}: {error.strerror or error}",
            hint="Choose another --port (0: any that is free) or --host.",
        ) from error
