"""Google Drive: from a file's id to its bytes, past the page that asks for a confirmation."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urljoin, urlsplit

from toolchain.catalog.records import GoogleDriveSource, ModelFile
from toolchain.errors import SourceError
from toolchain.progress import Task
from toolchain.transfer import answers
from toolchain.transfer.http import Fetch, fetch
from toolchain.transfer.partial import Partial
from toolchain.transfer.transport import Transport, shown

if TYPE_CHECKING:
    import requests

    from toolchain.transfer.connection import Connection

PAGE_LIMIT = 1 << 19  # bytes of a page that are read to find the confirmation
_HOSTS = (".google.com", ".googleusercontent.com")
_QUOTA = re.compile(r"quota|too many users have viewed or downloaded", re.IGNORECASE)


def fetch_google_drive(
    source: GoogleDriveSource,
    file: ModelFile,
    partial: Partial,
    transport: Transport,
    task: Task,
    cancelled: threading.Event,
) -> None:
    """Have the whole file in `partial`; raises as `http.fetch_http`."""
    asker = Asker(source.id, transport.drive_url, file.name)
    fetch(Fetch(shown(source), asker, file, partial, transport, task, cancelled))


@dataclass(frozen=True)
class Asker:
    """Asks for the file `id`, and once more where Drive wants the download confirmed."""

    id: str
    drive_url: str
    name: str

    def __call__(self, connection: Connection, headers: dict[str, str]) -> requests.Response:
        """The answer with the file, or Drive's own failure.  SourceError for a page instead."""
        params = {"id": self.id, "export": "download"}
        first = connection.get(self.drive_url, headers, params)
        if not _is_page(first, self.name):
            return first
        with first:
            page = _text(first)
        confirmed = confirmation(page, first.url, dict(first.cookies), params)
        if confirmed is None or not self._trusted(confirmed[0]):
            raise SourceError(_why(page))
        second = connection.get(confirmed[0], headers, confirmed[1])
        if _is_page(second, self.name):
            with second:
                raise SourceError(_why(_text(second)))
        return second

    def _trusted(self, url: str) -> bool:
        """A page may send us on only within Google's hosts (or the one that a test names)."""
        parts, own = urlsplit(url), urlsplit(self.drive_url)
        if (parts.scheme, parts.netloc) == (own.scheme, own.netloc):
            return True
        return parts.scheme == "https" and (parts.hostname or "").endswith(_HOSTS)


def confirmation(
    page: str, url: str, cookies: dict[str, str], params: dict[str, str]
) -> tuple[str, dict[str, str]] | None:
    """Address and parameters of the confirmed download, in any of the ways Drive has had.

    A `download_warning` cookie, a form with hidden fields, or a link with `confirm=`; None if
    the page offers no download.
    """
    for key, value in cookies.items():
        if key.startswith("download_warning"):
            return url.partition("?")[0], {**params, "confirm": value}
    found = _Page()
    found.feed(page)
    if found.action and "id" in found.fields:
        return urljoin(url, found.action), found.fields
    for link in found.links:
        query = parse_qs(urlsplit(link).query)
        if "confirm" in query and "id" in query:
            address = urljoin(url, link).partition("?")[0]
            return address, {key: values[0] for key, values in query.items()}
    return None


class _Page(HTMLParser):
    """The download form's address and hidden fields, and every link."""

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
    return response.ok and answers.is_page(name, response.headers, b"")


def _text(response: requests.Response) -> str:
    return str(response.raw.read(PAGE_LIMIT, decode_content=True).decode("utf-8", "replace"))


def _why(page: str) -> str:
    if _QUOTA.search(page):
        return "Google Drive's quota page came instead of the file: too many downloads of it today"
    return "a web page came instead of the file: Google Drive's login or quota page"
