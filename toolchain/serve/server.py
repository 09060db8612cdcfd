"""The work of `matting serve`: listens and serves the page until it is interrupted."""

from __future__ import annotations

import socket
from collections.abc import Callable

from toolchain.errors import ToolchainError, UsageError
from toolchain.serve.models import DEFAULT_HINT, Models
from toolchain.serve.request import ServeRequest, is_local


def serve(request: ServeRequest, ready: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C.

    Args:
        request: What to serve, and where.
        ready: Called with the address of the page once the server listens.

    Raises:
        UsageError: A model was not found, or the address is not available.
        ValidationError: OpenVINO cannot run the first model.
        ToolchainError: The extra `demo` is not installed.
    """
    try:
        from toolchain.serve.app import run_app  # needs optional packages
    except ImportError as error:
        raise ToolchainError(
            f"The page needs Starlette, uvicorn and wsproto; not all are installed ({error})",
            hint="Install them: `pip install 'background-matting-toolchain[demo]'`.",
        ) from error
    models = Models(request.models, request.device)
    first = models.get(models.keys[0], DEFAULT_HINT)  # reports errors before anyone connects
    with _listen(request) as listening, first:
        host, port = listening.getsockname()[:2]
        ready(f"http://{f'[{host}]' if ':' in host else host}:{port}/")
        run_app(models, listening, host=request.host, is_local=is_local(request.host))


def _listen(request: ServeRequest) -> socket.socket:
    try:
        family = socket.getaddrinfo(request.host, request.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((request.host, request.port), family=family)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {request.host} port {request.port}: {error.strerror or error}",
            hint="Choose another --port (0 for any free one) or --host.",
        ) from error
