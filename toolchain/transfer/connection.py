"""HTTP requests and bodies; every network error becomes one sentence.

Every call waits for a limited time, whatever the server sends: requests and bodies are read in a
worker thread, which is abandoned when its time is over.
"""

from __future__ import annotations

import contextlib
import http.client
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from toolchain import __version__
from toolchain.errors import SourceError
from toolchain.printable import printable
from toolchain.transfer.transport import Transport
from toolchain.workspace.digests import CHUNK

AGENT = f"background-matting-toolchain/{__version__}"
MAX_REDIRECTS = 20
OLD_CHUNK = 1 << 14
MARGIN = 1.0  # seconds after which a timeout of the socket should have ended a call
LONGEST_CAUSE = 200  # characters of a library's message
_PERMANENT = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidProxyURL,
)
Result = TypeVar("Result")


class ConnectionFailure(Exception):  # noqa: N818 - handled by the retry loop
    """The connection failed; another attempt may succeed."""


class _Session(requests.Session):
    """A session that returns redirects; requests would read their bodies, however long."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


class Connection:
    """One session.  Proxies, CA bundle and netrc come from the environment, as in requests."""

    def __init__(self, session: requests.Session, transport: Transport) -> None:
        self._session = session
        self._timeouts = (transport.connect_timeout, transport.read_timeout)
        self._worker = _Worker()
        self._abandoned: requests.Response | None = None

    def get(
        self,
        url: str,
        headers: dict[str, str],
        params: dict[str, str] | None = None,
        *,
        verified: bool = True,
    ) -> requests.Response:
        """Send a GET request and follow redirects, without reading any body.

        Args:
            url: Address.
            headers: Headers of the request.
            params: Query parameters.
            verified: Whether the content will be verified against a digest.  Without one, it is
                not requested over a connection on which others can change it.

        Raises:
            ConnectionFailure: The connection failed.
            SourceError: The request cannot succeed.
        """
        for _ in range(MAX_REDIRECTS + 1):
            if not verified and urlsplit(url).scheme.lower() != "https":
                raise SourceError(
                    "refused: a file without a checksum in model.yml is not fetched over plain "
                    "http, where it could be changed on the way; use https, or add its checksum"
                )
            response = self._get_one(url, headers, params)
            try:
                target = _find_redirect(response)
            except SourceError:
                response.close()
                raise
            if target is None:
                return response
            response.close()
            secret = response.request.headers.get("Authorization")
            headers = {key: headers[key] for key in headers if key != "Authorization"}
            strips: Callable[[str, str], bool] = self._session.should_strip_auth
            if secret and not strips(response.url, target):
                headers["Authorization"] = str(secret)
            url, params = target, None
        raise SourceError(f"more than {MAX_REDIRECTS} redirects")

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
        response = send(self, headers)
        try:
            yield response
        finally:
            # Closing waits for a read that another thread has not ended.
            if response is not self._abandoned:
                response.close()

    def read_chunk(self, response: requests.Response) -> bytes:
        """Read the available bytes of the body, at most CHUNK; none at its end.

        Raises:
            ConnectionFailure: The connection failed.
        """
        # Raw: the digest is that of the stored bytes, whatever Content-Encoding is declared.
        raw, seconds = response.raw, self._timeouts[1]
        # urllib3 1 has no read1, and its read waits for all bytes.
        read, most = (raw.read1, CHUNK) if hasattr(raw, "read1") else (raw.read, OLD_CHUNK)
        with _explained_errors(self._timeouts):
            try:
                return bytes(
                    self._run(lambda: read(most, decode_content=False), seconds, response.close)
                )
            except queue.Empty:
                self._abandoned = response
                if hasattr(raw, "shutdown"):  # urllib3 2.3
                    with contextlib.suppress(OSError, RuntimeError, ValueError):
                        raw.shutdown()  # ends the read in the other thread
                raise ConnectionFailure(f"no data for {seconds:g} s") from None
            except KeyboardInterrupt:
                self._abandoned = response  # do not wait for the server
                raise

    def read_head(self, response: requests.Response, size: int) -> bytes:
        """Read at least the first `size` bytes of the body, or all of a shorter one.

        Raises:
            ConnectionFailure: The connection failed.
        """
        head = b""
        while len(head) < size and (chunk := self.read_chunk(response)):
            head += chunk
        return head

    def _get_one(
        self, url: str, headers: dict[str, str], params: dict[str, str] | None
    ) -> requests.Response:
        responses: list[requests.Response] = []

        def send() -> requests.Response:
            response = self._session.get(
                url, headers=headers, params=params, stream=True, timeout=self._timeouts
            )
            responses.append(response)
            return response

        def close() -> None:
            for response in responses:
                response.close()

        try:
            requests.utils.get_netrc_auth(url)
        except UnicodeDecodeError as error:
            raise SourceError("~/.netrc, or the file that NETRC names, is not UTF-8") from error
        except ValueError as error:
            raise SourceError(f"not a valid address: {printable(url)}") from error
        seconds = sum(self._timeouts)
        with _explained_errors(self._timeouts):
            try:
                return self._run(send, seconds, close)
            except queue.Empty:
                raise ConnectionFailure(f"no response within {seconds:g} s") from None

    def _run(
        self, call: Callable[[], Result], seconds: float, clean_up: Callable[[], object]
    ) -> Result:
        """Return the call's result; queue.Empty if it takes too long."""
        try:
            return self._worker.run(call, seconds + MARGIN, clean_up)
        except queue.Empty:
            self._worker = _Worker()  # the old one still waits for the server
            raise


SendRequest = Callable[[Connection, dict[str, str]], requests.Response]


@contextlib.contextmanager
def connect(transport: Transport) -> Iterator[Connection]:
    """Open a session for one source."""
    with _Session() as session:
        session.headers["User-Agent"] = AGENT
        connection = Connection(session, transport)
        try:
            yield connection
        finally:
            connection._worker.close()  # noqa: SLF001


class _Worker:
    """Runs calls one after the other in a daemon thread; a call that takes too long is left."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self._left = threading.Event()
        self._clean_up: Callable[[], object] | None = None
        self._thread: threading.Thread | None = None

    def run(
        self, call: Callable[[], Result], seconds: float, clean_up: Callable[[], object]
    ) -> Result:
        """Return the call's result or raise its error; queue.Empty if it takes too long.

        In that case `clean_up` is called when the call has ended.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="network", daemon=True)
            self._thread.start()
        self._clean_up = clean_up
        self._calls.put(call)
        try:
            result, error = self._results.get(timeout=seconds)
        except BaseException:  # too late, or interrupted
            self._left.set()
            self.close()
            raise
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the thread after the call that it runs."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            result, error = None, None
            try:
                result = call()
            except BaseException as raised:  # noqa: BLE001 - raised where the result is expected
                error = raised
            if self._left.is_set():
                if self._clean_up is not None:
                    with contextlib.suppress(OSError):
                        self._clean_up()
                return
            self._results.put((result, error))
            del result, error, call


def _find_redirect(response: requests.Response) -> str | None:
    """Return the address of a redirect, None for another response.

    Raises SourceError for an address that is not to be requested.
    """
    if not response.is_redirect:
        return None
    location = response.headers["location"]
    try:
        # http.client decodes headers as Latin-1; most servers send UTF-8.
        target = urljoin(response.url, location.encode("latin1").decode("utf-8"))
        scheme, host = urlsplit(target).scheme, urlsplit(target).hostname
    except ValueError:
        scheme, host = "", None
    if scheme not in ("http", "https") or not host:
        raise SourceError(f"redirected to an address that is not valid: {printable(location)}")
    if scheme == "http" and urlsplit(response.url).scheme == "https":
        raise SourceError("refused a redirect from https to http")
    return target


@contextlib.contextmanager
def _explained_errors(timeouts: tuple[float, float]) -> Iterator[None]:
    try:
        yield
    except (
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        http.client.HTTPException,
        OSError,
        ValueError,  # of an address that urllib or the idna codec cannot parse
    ) as error:
        _explain(error, timeouts)


def _explain(error: Exception, timeouts: tuple[float, float]) -> NoReturn:
    bottom = _chain(error)[-1]
    text = bottom.strerror if isinstance(bottom, OSError) and bottom.strerror else str(bottom)
    cause = printable(text or type(bottom).__name__, LONGEST_CAUSE)
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
        raise SourceError(printable(str(error), LONGEST_CAUSE)) from error
    if isinstance(error, ValueError) and not isinstance(error, requests.RequestException):
        raise SourceError(f"the address or a header is not valid: {cause}") from error
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
