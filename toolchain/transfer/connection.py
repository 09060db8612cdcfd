"""HTTP requests and bodies; every network error becomes one sentence."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Callable, Iterator
from typing import NoReturn

import requests
import urllib3

from toolchain import __version__
from toolchain.errors import SourceError
from toolchain.transfer.transport import Transport
from toolchain.workspace.digests import CHUNK

AGENT = f"background-matting-toolchain/{__version__}"
_PERMANENT = (
    requests.exceptions.TooManyRedirects,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidProxyURL,
)


class ConnectionFailure(Exception):  # noqa: N818 - handled by the retry loop
    """The connection failed; another attempt may succeed."""


class Connection:
    """One session.  Proxies, CA bundle and netrc come from the environment, as in requests."""

    def __init__(self, session: requests.Session, transport: Transport) -> None:
        self._session = session
        self._timeouts = (transport.connect_timeout, transport.read_timeout)

    def get(
        self, url: str, headers: dict[str, str], params: dict[str, str] | None = None
    ) -> requests.Response:
        """Send a GET request without reading the body.  Raises what requests raises."""
        return self._session.get(
            url, headers=headers, params=params, stream=True, timeout=self._timeouts
        )

    @contextlib.contextmanager
    def open(self, send: SendRequest, headers: dict[str, str]) -> Iterator[requests.Response]:
        """Send a request.

        Args:
            send: Sends the request.
            headers: Headers of the request.

        Yields:
            The response, which is closed at the end of the context.

        Raises:
            ConnectionFailure: The connection failed.
            SourceError: The request cannot succeed.
        """
        with _explained_errors(self._timeouts):
            response = send(self, headers)
        with response:
            if _is_downgraded(response):
                raise SourceError("refused a redirect from https to http")
            yield response

    def read_chunk(self, response: requests.Response) -> bytes:
        """Read the available bytes of the body, at most CHUNK; none at its end.

        Raises:
            ConnectionFailure: The connection failed.
        """
        with _explained_errors(self._timeouts):
            # Raw: the digest is that of the stored bytes, whatever Content-Encoding is declared.
            raw = response.raw
            if hasattr(raw, "read1"):
                return bytes(raw.read1(CHUNK, decode_content=False))
            return bytes(raw.read(CHUNK, decode_content=False))

    def read_head(self, response: requests.Response, size: int) -> bytes:
        """Read at least the first `size` bytes of the body, or all of a shorter one.

        Raises:
            ConnectionFailure: The connection failed.
        """
        head = b""
        while len(head) < size and (chunk := self.read_chunk(response)):
            head += chunk
        return head


SendRequest = Callable[[Connection, dict[str, str]], requests.Response]


@contextlib.contextmanager
def connect(transport: Transport) -> Iterator[Connection]:
    """Open a session for one source."""
    with requests.Session() as session:
        session.headers["User-Agent"] = AGENT
        yield Connection(session, transport)


def _is_downgraded(response: requests.Response) -> bool:
    asked = [step.url for step in response.history] or [response.url]
    secure = any(url.lower().startswith("https:") for url in asked)
    return secure and not response.url.lower().startswith("https:")


@contextlib.contextmanager
def _explained_errors(timeouts: tuple[float, float]) -> Iterator[None]:
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        _explain(error, timeouts)


def _explain(error: Exception, timeouts: tuple[float, float]) -> NoReturn:
    bottom = _chain(error)[-1]
    text = bottom.strerror if isinstance(bottom, OSError) and bottom.strerror else str(bottom)
    cause = text or type(bottom).__name__
    if isinstance(error, requests.exceptions.SSLError):
        raise SourceError(
            f"the server's certificate was rejected: {cause} (REQUESTS_CA_BUNDLE sets a file of "
            "trusted certificates)"
        ) from error
    if isinstance(error, requests.exceptions.ProxyError):
        raise ConnectionFailure(f"the proxy failed: {cause}") from error
    if isinstance(error, requests.exceptions.ConnectTimeout):
        raise ConnectionFailure(f"no connection within {timeouts[0]:g} s") from error
    if isinstance(error, requests.exceptions.ReadTimeout | urllib3.exceptions.ReadTimeoutError):
        raise ConnectionFailure(f"no data for {timeouts[1]:g} s") from error
    if "NameResolution" in repr(error):
        raise ConnectionFailure("the host name was not found (is there a network?)") from error
    if isinstance(bottom, http.client.IncompleteRead):
        missing = f"{bottom.expected:,} bytes" if bottom.expected else "data"
        raise ConnectionFailure(f"the connection was closed with {missing} missing") from error
    if isinstance(error, _PERMANENT):
        raise SourceError(str(error)) from error
    raise ConnectionFailure(f"the connection failed: {cause}") from error


def _chain(error: BaseException) -> list[BaseException]:
    """List the error and its causes; requests and urllib3 nest theirs in several ways."""
    chain: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in chain:
        chain.append(at)
        reason = getattr(at, "reason", None)
        inside = [part for part in (reason, *at.args) if isinstance(part, BaseException)]
        at = inside[0] if inside else at.__cause__
    return chain
