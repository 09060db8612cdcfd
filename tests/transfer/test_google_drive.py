"""Google Drive, with its present and its earlier pages."""

from __future__ import annotations

import gzip
import os
import tracemalloc

import pytest

from tests.support.web_server import File, page, redirect
from toolchain.catalog.records import GoogleDriveSource
from toolchain.errors import DownloadError
from toolchain.stages.download.download import download

DATA = os.urandom(50_000)
WARNING = (
    "<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>"
    '<form id="download-form" action="{action}" method="get"><input type="submit" value="Go">'
    '<input type="hidden" name="id" value="some-id"><input type="hidden" name="confirm" value="t">'
    '<input type="hidden" name="uuid" value="12-34"></form></body></html>'
)
LINK = '<html><a id="uc-download-link" href="/confirmed?export=download&amp;confirm=Ab&amp;id=x">'
QUOTA = (
    "<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body><p>"
    "Sorry, you can't view or download this file at this time. Too many users have viewed or "
    "downloaded this file recently.</p></body></html>"
)
LOGIN = "<!doctype html><html><title>Sign in - Google Accounts</title></html>"


@pytest.fixture
def fetch(server, make):
    """Downloads the file from a Drive on loopback."""

    def start(attempts: int = 4):
        file = make.file(DATA, GoogleDriveSource("some-id"))
        return download(
            make.request(file, attempts=attempts, transport={"drive_url": f"{server.base}/uc"})
        )

    return start


def test_a_small_file_needs_one_request(server, make, fetch) -> None:
    """The id is in the query."""
    server.serve("/uc", File(DATA))
    fetch()
    assert make.target.read_bytes() == DATA
    assert server.asked[0].path == "/uc?id=some-id&export=download"


def test_the_form_of_the_warning_page_is_submitted(server, make, fetch) -> None:
    """With every hidden field."""
    server.serve("/uc", page(200, WARNING.format(action=f"{server.base}/download")))
    server.serve("/download", File(DATA))
    fetch()
    assert make.target.read_bytes() == DATA
    assert server.asked[1].path == "/download?id=some-id&confirm=t&uuid=12-34"


def test_the_link_of_an_earlier_warning_page_is_followed(server, make, fetch) -> None:
    """A link with `confirm=` on the page."""
    server.serve("/uc", page(200, LINK))
    server.serve("/confirmed", File(DATA))
    fetch()
    assert make.target.read_bytes() == DATA
    assert "confirm=Ab" in server.asked[1].path


def test_the_cookie_of_the_earliest_warning_page_is_used(server, make, fetch) -> None:
    """A cookie `download_warning...` contains the token."""
    warned = page(200, "<html>warning</html>", Set_Cookie="download_warning_1=Xy; Path=/")
    server.serve("/uc", warned, File(DATA))
    fetch()
    assert make.target.read_bytes() == DATA
    assert server.asked[1].path == "/uc?id=some-id&export=download&confirm=Xy"


def test_an_interrupted_download_is_resumed(server, make, fetch) -> None:
    """Range and If-Range are sent with the confirmed request."""
    server.serve("/uc", redirect("/warning"))
    server.serve("/warning", page(200, WARNING.format(action="/download")))
    server.serve("/download", File(DATA, cut=1000), File(DATA))
    fetch()
    assert make.target.read_bytes() == DATA
    assert server.asked[-1].headers["range"] == "bytes=1000-"


@pytest.mark.parametrize(
    ("text", "expected"), [(QUOTA, "Google Drive's quota page"), (LOGIN, "login or quota page")]
)
@pytest.mark.parametrize("confirmed", [False, True])
def test_a_page_instead_of_the_file_is_an_error(
    server, make, fetch, text, expected, confirmed
) -> None:
    """Quota and login pages are recognized, before and after the confirmation; no retry."""
    if confirmed:
        server.serve("/uc", page(200, WARNING.format(action="/download")))
        server.serve("/download", page(200, text))
    else:
        server.serve("/uc", page(200, text))
    with pytest.raises(DownloadError, match=expected):
        fetch()
    assert len(server.asked) == 1 + confirmed
    assert not make.partial.exists()


def test_a_page_cannot_redirect_to_another_host(server, fetch) -> None:
    """A form with the address of an unknown host is not submitted."""
    server.serve("/uc", page(200, WARNING.format(action="http://stranger.invalid/download")))
    with pytest.raises(DownloadError, match="login or quota page"):
        fetch()


@pytest.mark.parametrize(
    "text",
    [
        WARNING.format(action="http://[::1/download"),
        WARNING.format(action="//[/download"),
        '<html><a href="http://[foo]/?confirm=a&amp;id=b">',
        "<html><![foo[ x ]]><a href='?'>",
        "<html><!-",
    ],
)
def test_a_malformed_page_is_an_error(server, fetch, text) -> None:
    """One line, no retry."""
    server.serve("/uc", page(200, text))
    with pytest.raises(DownloadError, match="login or quota page"):
        fetch()
    assert len(server.asked) == 1


def test_a_compressed_page_is_read_up_to_a_limit(server, make, fetch) -> None:
    """A small one as it is; of one that expands to 600 MB only the beginning."""
    packed = gzip.compress(WARNING.format(action="/download").encode() + bytes(600 << 20), 1)
    headers = {"Content-Type": "text/html", "Content-Encoding": "gzip"}
    server.serve("/uc", File(packed[:400_000], headers=headers))
    server.serve("/download", File(DATA))
    tracemalloc.start()
    fetch()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert make.target.read_bytes() == DATA
    assert peak < 32 << 20


def test_a_missing_file_is_an_error(server, fetch) -> None:
    """No retry after 404."""
    server.serve("/uc", page(404))
    with pytest.raises(DownloadError, match="Google Drive id some-id: 404 Not Found"):
        fetch()
    assert len(server.asked) == 1
