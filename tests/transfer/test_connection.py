"""Proxies, certificates and redirects."""

from __future__ import annotations

import os
import time

import pytest
import requests

from tests.support.web_server import File, redirect, running, slowly
from toolchain.errors import DownloadError, SourceError
from toolchain.stages.download.download import download
from toolchain.transfer import connection as connection_module

DATA = os.urandom(100_000)


def test_proxy_variables_are_honoured(server, make, monkeypatch) -> None:
    """With http_proxy the request goes to the proxy, with the full URL as its path."""
    monkeypatch.setenv("http_proxy", server.base)
    monkeypatch.setenv("no_proxy", "")
    server.serve("http://models.invalid/f", File(DATA))
    download(make.request(make.file(DATA, "http://models.invalid/f")))
    assert make.target.read_bytes() == DATA
    assert server.asked[0].path == "http://models.invalid/f"


def test_certificates_are_verified_and_can_be_added(make, tls_server, monkeypatch) -> None:
    """An unknown certificate is rejected; REQUESTS_CA_BUNDLE makes it trusted."""
    url, bundle = tls_server.serve("/f", File(DATA)), os.environ["REQUESTS_CA_BUNDLE"]
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(DownloadError, match=r"certificate was rejected.*REQUESTS_CA_BUNDLE"):
        download(make.request(make.file(DATA, url)))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    download(make.request(make.file(DATA, url)))
    assert make.target.read_bytes() == DATA


@pytest.mark.parametrize(
    ("url", "location", "expected"),
    [
        ("https://a.example/x/", "http://b.example/", SourceError),
        ("http://a.example/x/", "https://b.example/", "https://b.example/"),
        ("http://a.example/x/", "y?z", "http://a.example/x/y?z"),
        ("http://a.example/x/", "//b.example/", "http://b.example/"),
        ("https://a.example/x/", "//b.example/", "https://b.example/"),
        ("http://a.example/x/", "http://[::1", SourceError),
        ("http://a.example/x/", "http://[foo]/", SourceError),
        ("http://a.example/x/", "file:///etc/passwd", SourceError),
        ("http://a.example/x/", "\xff", SourceError),
    ],
)
def test_a_redirect_leads_only_to_a_valid_address(url, location, expected) -> None:
    """Never from https to http, and only to http and https."""
    response = requests.Response()
    response.url, response.status_code = url, 302
    response.headers["location"] = location
    if expected is SourceError:
        with pytest.raises(SourceError):
            connection_module._find_redirect(response)
    else:
        assert connection_module._find_redirect(response) == expected


@pytest.mark.parametrize(
    "location", ["http://[::1", "http://a.invalid\x1b[31m/", "http://" + "a" * 300]
)
def test_a_redirect_to_an_invalid_address_is_one_printable_line(server, make, location) -> None:
    """The next source is tried."""
    bad = server.serve("/bad", redirect(location))
    good = server.serve("/good", File(DATA))
    with pytest.raises(DownloadError) as caught:
        download(make.request(make.file(DATA, bad), attempts=1))
    assert all(line.isprintable() and len(line) < 400 for line in caught.value.message.split("\n"))
    download(make.request(make.file(DATA, bad, good), attempts=1))
    assert make.target.read_bytes() == DATA


def test_the_body_of_a_redirect_is_not_read(server, make) -> None:
    """An endless one does not delay the download."""

    def endless(handler):
        handler.head(302, Location="/f")
        while True:
            handler.body(bytes(1 << 16))

    server.serve("/f", File(DATA))
    download(make.request(make.file(DATA, server.serve("/away", endless))))
    assert make.target.read_bytes() == DATA
    assert server.asked[0].sent < 32 << 20


def test_redirects_are_limited(server, make) -> None:
    """A circle ends with an error."""
    url = server.serve("/f", redirect("/f"))
    with pytest.raises(DownloadError, match="more than 20 redirects"):
        download(make.request(make.file(DATA, url)))


@pytest.mark.parametrize(("other", "sent"), [(False, True), (True, False)])
def test_a_password_is_sent_again_only_to_the_same_host(server, make, other, sent) -> None:
    """A redirect to another host does not get it."""
    with running() as second:
        place = second if other else server
        place.serve("/real", File(DATA))
        url = server.serve("/f", redirect(f"{place.base}/real"))
        download(make.request(make.file(DATA, url.replace("//", "//user:secret@"))))
        assert "authorization" in server.asked[0].headers
        assert ("authorization" in place.asked[-1].headers) is sent


def test_a_netrc_that_is_not_text_is_named(server, make, tmp_path, monkeypatch) -> None:
    """One line, without the codec's words."""
    netrc = tmp_path / "netrc"
    netrc.write_bytes(b"machine 127.0.0.1 login \xff\xfe")
    monkeypatch.setenv("NETRC", str(netrc))
    with pytest.raises(DownloadError, match=r"\.netrc.*is not UTF-8"):
        download(make.request(make.file(DATA, server.serve("/f", File(DATA)))))


@pytest.mark.parametrize("part", ["status", "header", "chunk size", "trailer"])
def test_a_server_that_drips_bytes_has_a_deadline(server, make, part) -> None:
    """Also where the bytes are no content."""
    beginning = {
        "status": b"",
        "header": b"HTTP/1.1 200 OK\r\nA: ",
        "chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n",
    }[part]

    def drip(handler):
        handler.wfile.write(beginning)
        while not handler.server.stopping.wait(0.05):
            handler.wfile.write(b"X: 1\r\n" if part == "trailer" else b"0")
            handler.wfile.flush()

    began = time.monotonic()
    transport = {"connect_timeout": 0.3, "read_timeout": 0.3}
    request = make.request(
        make.file(DATA, server.serve("/f", drip)), attempts=1, transport=transport
    )
    with pytest.raises(DownloadError, match=r"no (data|response)"):
        download(request)
    assert time.monotonic() - began < 5


def test_a_slow_body_is_an_error_and_its_part_is_kept(server, make) -> None:
    """The average within a period decides; a retry resumes."""
    url = server.serve("/f", slowly(DATA, 1000, 0.05), File(DATA))
    transport = {"slow_time": 0.5, "slow_bytes": 50_000}
    with pytest.raises(DownloadError, match=r"less than 50,000 bytes in 0\.5 s"):
        download(make.request(make.file(DATA, url), attempts=1, transport=transport))
    assert make.partial.stat().st_size > 0
    download(make.request(make.file(DATA, url), attempts=1, transport=transport))
    assert server.asked[1].headers["range"].startswith("bytes=")


def test_a_transfer_has_a_deadline(server, make) -> None:
    """Although data arrives all the time; no other attempt follows."""
    url = server.serve("/f", slowly(DATA, 1000, 0.02))
    with pytest.raises(DownloadError, match=r"not complete after 0\.4 s"):
        download(make.request(make.file(DATA, url), transport={"longest_transfer": 0.4}))
    assert len(server.asked) == 1
