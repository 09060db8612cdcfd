"""Requests and bodies, with every way in which a network fails turned into one sentence."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NoReturn

from toolchain import __version__
from toolchain.errors import SourceError
from toolchain.transfer.transport import Transport
from toolchain.workspace.digests import CHUNK

if TYPE_CHECKING:
    import requests

AGENT = f"background-matting-toolchain/{__version__}"


class Dropped(Exception):  # noqa: N818 - a turn of a retry loop
    """The transport failed; another attempt may go better."""


class Connection:
    """One session; proxies, CA bundle and netrc come from the environment as requests has it."""

    def __init__(self, session: requests.Session, transport: Transport) -> None:
        self._session = session
        self._timeouts = (transport.connect_timeout, transport.read_timeout)

    def get(
        self, url: str, headers: dict[str, str], params: dict[str, str] | None = None
    ) -> requests.Response:
        """Send a GET; the body is not read yet.  Raises what requests raises."""
        return self._session.get(
            url, headers=headers, params=params, stream=True, timeout=self._timeouts
        )

    @contextlib.contextmanager
    def receiving(
        self,
        ask: Callable[[Connection, dict[str, str]], requests.Response],
        headers: dict[str, str],
    ) -> Iterator[requests.Response]:
        """The answer to `ask`, closed in the end.  Raises Dropped or SourceError."""
        with _troubles(self._timeouts):
            response = ask(self, headers)
        with response:
            if _downgraded(response):
                raise SourceError("redirected from https to http; refused")
            yield response

    def piece(self, response: requests.Response) -> bytes:
        """The next bytes of the body, as they come, at most CHUNK; none at its end.

        Raises Dropped.
        """
        with _troubles(self._timeouts):
            # Raw: a digest is of the bytes as they are stored, whatever encoding is claimed.
            raw = response.raw
            if hasattr(raw, "read1"):
                return bytes(raw.read1(CHUNK, decode_content=False))
            return bytes(raw.read(CHUNK, decode_content=False))

    def head(self, response: requests.Response, size: int) -> bytes:
        """The first bytes of the body: at least `size` unless it ends before.  Raises Dropped."""
        head = b""
        while len(head) < size and (piece := self.piece(response)):
            head += piece
        return head


@contextlib.contextmanager
def opened(transport: Transport) -> Iterator[Connection]:
    """A connection for one source."""
    import requests

    with requests.Session() as session:
        session.headers["User-Agent"] = AGENT
        yield Connection(session, transport)


def _downgraded(response: requests.Response) -> bool:
    asked = [step.url for step in response.history] or [response.url]
    secure = any(url.lower().startswith("https:") for url in asked)
    return secure and not response.url.lower().startswith("https:")


@contextlib.contextmanager
def _troubles(timeouts: tuple[float, float]) -> Iterator[None]:
    import requests
    import urllib3

    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        _explain(error, timeouts)


def _explain(error: Exception, timeouts: tuple[float, float]) -> NoReturn:
    import requests
    import urllib3

    cause = _innermost(error)
    if isinstance(error, requests.exceptions.SSLError):
        raise SourceError(
            f"the server's certificate was not accepted: {cause} (REQUESTS_CA_BUNDLE names a file "
            "of certificates to trust)"
        ) from error
    if isinstance(error, requests.exceptions.ProxyError):
        raise Dropped(f"the proxy did not connect: {cause}") from error
    if isinstance(error, requests.exceptions.ConnectTimeout):
        raise Dropped(f"no connection within {timeouts[0]:g} s") from error
    if isinstance(error, requests.exceptions.ReadTimeout | urllib3.exceptions.ReadTimeoutError):
        raise Dropped(f"nothing came for {timeouts[1]:g} s") from error
    if "NameResolution" in repr(error):
        raise Dropped("the host's name was not found (is there a network?)") from error
    bottom = _chain(error)[-1]
    if isinstance(bottom, http.client.IncompleteRead):
        missing = f"{bottom.expected:,} bytes" if bottom.expected else "something"
        raise Dropped(f"cut off with {missing} still to come") from error
    lasting = (
        requests.exceptions.TooManyRedirects,
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.MissingSchema,
        requests.exceptions.InvalidProxyURL,
    )
    if isinstance(error, lasting):
        raise SourceError(str(error)) from error
    raise Dropped(f"the connection failed: {cause}") from error


def _innermost(error: BaseException) -> str:
    """The reason at the bottom, as a person would say it."""
    last = _chain(error)[-1]
    text = last.strerror if isinstance(last, OSError) and last.strerror else str(last)
    return text or type(last).__name__


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it was made of: requests and urllib3 wrap each other's in many ways."""
    chain: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in chain:
        chain.append(at)
        reason = getattr(at, "reason", None)
        inside = [part for part in (reason, *at.args) if isinstance(part, BaseException)]
        at = inside[0] if inside else at.__cause__
    return chain
