"""Google Drive's pages, as it has them and as it had them."""

from __future__ import annotations

import os

import pytest

from tests.support.web_server import File, page, redirect
from toolchain.catalog.records import GoogleDriveSource
from toolchain.errors import DownloadError
from toolchain.stages.download import download

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
    """Download the file from a Drive that lies on loopback."""

    def start(attempts: int = 4):
        file = make.file(DATA, GoogleDriveSource("some-id"))
        return download(
            make.request(file, attempts=attempts, transport={"drive_url": f"{server.base}/uc"})
        )

    return start


def test_a_small_file_comes_at_once(server, make, fetch) -> None:
    """The id goes into the query."""
    server.serve("/uc", File(DATA))
    fetch()
    assert make.target.read_bytes() == DATA
    assert server.asked[0].path == "/uc?id=some-id&export=download"


def test_the_form_of_the_warning_page_is_sent(server, make, fetch) -> None:
    """Every hidden field goes along."""
    server.serve("/uc", page(200, WARNING.format(action=f"{server.base}/download")))
    server.serve("/download", File(DATA))
    fetch()
    assert make.target.read_bytes() == DATA
    assert server.asked[1].path == "/download?id=some-id&confirm=t&uuid=12-34"


def test_the_older_link_is_followed(server, make, fetch) -> None:
    """A link with `confirm=` on the page."""
    server.serve("/uc", page(200, LINK))
    server.serve("/confirmed", File(DATA))
    fetch()
    assert make.target.read_bytes() == DATA
    assert "confirm=Ab" in server.asked[1].path


def test_the_oldest_cookie_is_answered(server, make, fetch) -> None:
    """A cookie `download_warning...` carries the token."""
    warned = page(200, "<html>warning</html>", Set_Cookie="download_warning_1=Xy; Path=/")
    server.serve("/uc", warned, File(DATA))
    fetch()
    assert make.target.read_bytes() == DATA
    assert server.asked[1].path == "/uc?id=some-id&export=download&confirm=Xy"


def test_a_cut_download_is_gone_on_from(server, make, fetch) -> None:
    """Range and If-Range pass through the confirmation."""
    server.serve("/uc", redirect("/warning"))
    server.serve("/warning", page(200, WARNING.format(action="/download")))
    server.serve("/download", File(DATA, cut=1000), File(DATA))
    fetch()
    assert make.target.read_bytes() == DATA
    assert server.asked[-1].headers["range"] == "bytes=1000-"


@pytest.mark.parametrize(
    ("text", "said"), [(QUOTA, "Google Drive's quota page"), (LOGIN, "login or quota page")]
)
@pytest.mark.parametrize("confirmed", [False, True])
def test_a_page_instead_is_said(server, make, fetch, text, said, confirmed) -> None:
    """Quota and login pages are told, at once or after the confirmation, and not repeated."""
    if confirmed:
        server.serve("/uc", page(200, WARNING.format(action="/download")))
        server.serve("/download", page(200, text))
    else:
        server.serve("/uc", page(200, text))
    with pytest.raises(DownloadError, match=said):
        fetch()
    assert len(server.asked) == 1 + confirmed
    assert not make.partial.exists()


def test_a_page_can_not_send_us_elsewhere(server, fetch) -> None:
    """A form that leads to a stranger's host is not sent."""
    server.serve("/uc", page(200, WARNING.format(action="http://stranger.invalid/download")))
    with pytest.raises(DownloadError, match="login or quota page"):
        fetch()


def test_a_missing_file_is_missing(server, fetch) -> None:
    """404 is not repeated."""
    server.serve("/uc", page(404))
    with pytest.raises(DownloadError, match="Google Drive id some-id: 404 Not Found"):
        fetch()
    assert len(server.asked) == 1
