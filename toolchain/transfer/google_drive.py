"""Google Drive: download a file by its id, including the confirmation page of large files."""

from __future__ import annotations

import contextlib
import re
import zlib
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import parse_qs, urldefrag, urljoin, urlsplit

import requests

from toolchain.errors import SourceError
from toolchain.transfer import responses
from toolchain.transfer.connection import Connection

GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS  # zlib recognizes which of them it is
PAGE_LIMIT = 1 << 19  # bytes of a page that are searched for the confirmation
_HOSTS = (".google.com", ".googleusercontent.com")
_QUOTA = re.compile(r"quota|too many users have viewed or downloaded", re.IGNORECASE)


@dataclass(frozen=True)
class DriveRequest:
    """Requests a file, and requests it again if Drive wants the download confirmed.

    Attributes:
        id: The file's id.
        drive_url: Address of Google Drive.
        name: The file's name.
    """

    id: str
    drive_url: str
    name: str

    def __call__(self, connection: Connection, headers: dict[str, str]) -> requests.Response:
        """Return the response with the file, or with Drive's own failure status.

        Raises:
            SourceError: Drive sends a web page instead of the file.
        """
        params = {"id": self.id, "export": "download"}
        first = connection.get(self.drive_url, headers, params)
        if not _is_page(first, self.name):
            return first
        with first:
            page = _read_text(connection, first)
        confirmed = find_confirmation(page, first.url, dict(first.cookies), params)
        if confirmed is None or not self._is_trusted(confirmed[0]):
            raise SourceError(_describe(page))
        second = connection.get(confirmed[0], headers, confirmed[1])
        if _is_page(second, self.name):
            with second:
                raise SourceError(_describe(_read_text(connection, second)))
        return second

    def _is_trusted(self, url: str) -> bool:
        """Return whether a page may redirect there: a host of Google, or that of `drive_url`."""
        parts, own = urlsplit(url), urlsplit(self.drive_url)
        if (parts.scheme, parts.netloc) == (own.scheme, own.netloc):
            return True
        return parts.scheme == "https" and (parts.hostname or "").endswith(_HOSTS)


def find_confirmation(
    page: str, url: str, cookies: dict[str, str], params: dict[str, str]
) -> tuple[str, dict[str, str]] | None:
    """Find the confirmed download in a warning page.

    Drive has used a `download_warning` cookie, a form with hidden fields, and a link with
    `confirm=`.

    Args:
        page: The HTML.
        url: Its address.
        cookies: Cookies of its response.
        params: Parameters of its request.

    Returns:
        Address and parameters; None if the page offers no download.
    """
    for key, value in cookies.items():
        if key.startswith("download_warning"):
            return url.partition("?")[0], {**params, "confirm": value}
    found = _Page()
    # Depending on Python's version, HTMLParser raises AssertionError for some malformed pages.
    with contextlib.suppress(AssertionError, ValueError):
        found.feed(page)
    if found.action and "id" in found.fields:
        return _resolve(url, found.action), found.fields
    for link in found.links:
        address, _, query = _resolve(url, link).partition("?")
        given = parse_qs(query)
        if "confirm" in given and "id" in given:
            return address, {key: values[0] for key, values in given.items()}
    return None


def _resolve(url: str, link: str) -> str:
    """Return the absolute address of a link on the page at `url`; "" if it is not valid."""
    try:
        address = urldefrag(urljoin(url, link)).url
        urlsplit(address)
    except ValueError:
        return ""
    return address


class _Page(HTMLParser):
    """Finds the download form's address and hidden fields, and all links."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.links: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        if tag == "form" and "download" in given.get("id", "") + given.get("action", ""):
            self.action, self._inside = given.get("action", ""), True
        elif tag == "input" and self._inside and given.get("name"):
            self.fields[given["name"]] = given.get("value", "")
        elif tag == "a" and given.get("href"):
            self.links.append(given["href"])

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False


def _is_page(response: requests.Response, name: str) -> bool:
    return response.ok and responses.is_page(name, response.headers, b"")


def _read_text(connection: Connection, response: requests.Response) -> str:
    """Read the beginning of a page, also of one that is compressed although not asked to be."""
    body = connection.read_head(response, PAGE_LIMIT)[:PAGE_LIMIT]
    if response.headers.get("Content-Encoding", "").strip().lower() in ("gzip", "deflate"):
        with contextlib.suppress(zlib.error):
            body = zlib.decompressobj(GZIP_OR_ZLIB).decompress(body, PAGE_LIMIT)
    return body.decode("utf-8", "replace")


def _describe(page: str) -> str:
    if _QUOTA.search(page):
        return "received Google Drive's quota page instead of the file (too many downloads today)"
    return "received a web page instead of the file (Google Drive's login or quota page)"
