"""Downloads from servers that close connections, send wrong headers, stall or change the file."""

from __future__ import annotations

import os
import time
from email.utils import formatdate

import pytest

from tests.support.web_server import File, page, redirect
from toolchain.errors import DownloadError
from toolchain.stages.download.download import download

DATA = os.urandom(300_000)
OTHER = os.urandom(300_000)


def test_a_file_arrives_as_it_was_served(server, make) -> None:
    """The target has the served bytes, and only the lock file is left beside it."""
    url = server.serve("/f", File(DATA))
    (got,) = download(make.request(make.file(DATA, url))).files
    assert make.target.read_bytes() == DATA
    assert (got.status, got.verified_by, got.size) == ("fetched", "published", len(DATA))
    assert {path.name for path in make.folder.iterdir()} <= {make.name, f".{make.name}.lock"}
    assert server.asked[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_closed_connection_is_resumed(server, make, reset, chunked) -> None:
    """Only the rest is requested, with If-Range."""
    url = server.serve("/f", File(DATA, cut=200_000, reset=reset, chunked=chunked), File(DATA))
    download(make.request(make.file(DATA, url)))
    assert make.target.read_bytes() == DATA
    second = server.asked[1].headers
    assert second["if-range"] == '"one"'
    offset = int(second["range"].removeprefix("bytes=").removesuffix("-"))
    if not reset:  # a reset may discard bytes on their way
        assert offset == 200_000


def test_a_content_length_that_is_too_long_is_an_error(server, make) -> None:
    """A body shorter than its Content-Length is not a whole file."""
    url = server.serve("/f", File(DATA, declared=len(DATA) + 9))
    with pytest.raises(DownloadError, match="closed with 9 bytes missing"):
        download(make.request(make.file(DATA, url, size=False), attempts=1))
    assert not make.target.exists()


@pytest.mark.parametrize("declared", [len(DATA) - 9, len(DATA) + 9])
def test_a_content_length_other_than_the_published_size_is_refused(server, make, declared) -> None:
    """The next source is tried without a retry."""
    bad = server.serve("/bad", File(DATA, declared=declared))
    good = server.serve("/good", File(DATA))
    download(make.request(make.file(DATA, bad, good)))
    assert make.target.read_bytes() == DATA
    assert [asked.path for asked in server.asked] == ["/bad", "/good"]


def test_a_body_that_is_too_long_is_refused(server, make) -> None:
    """Without a Content-Length, the transfer ends after the published size."""
    url = server.serve("/f", File(DATA + b"more", chunked=True))
    with pytest.raises(DownloadError, match="wrong size: expected 300,000 bytes, found more"):
        download(make.request(make.file(DATA, url)))
    assert not make.target.exists()
    assert not make.partial.exists()
    assert len(server.asked) == 1


def test_a_body_without_a_length_that_ends_early_is_resumed(server, make) -> None:
    """The published size shows that bytes are missing."""

    def closes(handler):
        handler.send_response(200)
        handler.send_header("ETag", '"one"')
        handler.end_headers()
        handler.body(DATA[:1000])

    url = server.serve("/f", closes, File(DATA))
    download(make.request(make.file(DATA, url)))
    assert make.target.read_bytes() == DATA
    assert server.asked[1].headers["range"] == "bytes=1000-"


def test_a_server_that_ignores_range_restarts_the_download(server, make) -> None:
    """Status 200 to a request for the rest delivers the whole file."""
    url = server.serve("/f", File(DATA, cut=1000), File(DATA, ranges=False))
    download(make.request(make.file(DATA, url)))
    assert make.target.read_bytes() == DATA
    assert server.asked[1].headers["range"] == "bytes=1000-"


@pytest.mark.parametrize("strict", [True, False])
def test_parts_of_different_files_are_never_joined(tls_server, make, strict) -> None:
    """Another ETag restarts the download, even if the tls_server ignores If-Range."""
    url = tls_server.serve("/f", File(OTHER, cut=1000), File(DATA, etag='"two"', strict=strict))
    download(make.request(make.file(None, url)))
    assert make.target.with_name(make.name + ".unverified").read_bytes() == DATA


@pytest.mark.parametrize(("age", "resumes"), [(3600, True), (0, False)])
def test_only_an_older_modification_time_is_a_validator(tls_server, make, age, resumes) -> None:
    """One in the same second as the response may belong to two contents."""
    settled = File(DATA, etag=None, modified=time.time() - age)
    url = tls_server.serve("/f", File(DATA, None, settled.modified, cut=1000), settled)
    download(make.request(make.file(None, url)))
    assert ("range" in tls_server.asked[1].headers) is resumes
    assert make.target.with_name(make.name + ".unverified").read_bytes() == DATA


def test_a_weak_etag_is_not_a_validator(tls_server, make) -> None:
    """Without a validator and a digest the download restarts."""
    url = tls_server.serve(
        "/f", File(OTHER, 'W/"one"', cut=1000), File(DATA, 'W/"one"', strict=False)
    )
    download(make.request(make.file(None, url)))
    assert make.target.with_name(make.name + ".unverified").read_bytes() == DATA
    assert "range" not in tls_server.asked[1].headers


def test_a_resumed_file_with_a_wrong_digest_is_fetched_again(server, make) -> None:
    """If only the digest reveals it, one more complete transfer follows."""
    url = server.serve("/f", File(OTHER, None, cut=1000), File(DATA, None))
    download(make.request(make.file(DATA, url)))
    assert make.target.read_bytes() == DATA
    assert ["range" in asked.headers for asked in server.asked] == [False, True, False]


def test_a_partial_file_longer_than_the_file_is_discarded(server, make) -> None:
    """After 416 the whole file is requested in the same attempt."""
    url = server.serve("/f", File(OTHER, cut=200_000), File(DATA[:100], strict=False))
    download(make.request(make.file(DATA[:100], url, size=False), attempts=2))
    assert make.target.read_bytes() == DATA[:100]


def test_another_range_than_requested_is_not_used(server, make) -> None:
    """The download restarts."""

    def elsewhere(handler):
        if "range" not in handler.asked.headers:
            File(DATA)(handler)
            return
        handler.head(206, Content_Range=f"bytes 7-{len(DATA) - 1}/{len(DATA)}", Content_Length=3)
        handler.body(b"xyz")

    url = server.serve("/f", File(DATA, cut=1000), elsewhere)
    download(make.request(make.file(DATA, url)))
    assert make.target.read_bytes() == DATA


def test_a_range_that_was_not_requested_is_refused(server, make) -> None:
    """206 to a request for the whole file is an error."""

    def part(handler):
        handler.head(206, Content_Range=f"bytes 0-2/{len(DATA)}", Content_Length=3)
        handler.body(DATA[:3])

    url = server.serve("/f", part)
    with pytest.raises(DownloadError, match="received a part of the file"):
        download(make.request(make.file(DATA, url)))


def test_a_stalled_connection_is_resumed(server, make) -> None:
    """It is closed after the read timeout; the received bytes are kept."""
    url = server.serve("/f", File(DATA, cut=1000, stall=30), File(DATA))
    began = time.monotonic()
    download(make.request(make.file(DATA, url), transport={"read_timeout": 0.2}))
    assert time.monotonic() - began < 5
    assert make.target.read_bytes() == DATA
    assert server.asked[1].headers["range"] == "bytes=1000-"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
def test_a_permanent_failure_is_not_retried(server, make, status) -> None:
    """One request, and the status is in the message."""
    url = server.serve("/f", page(status), File(DATA))
    with pytest.raises(DownloadError, match=f"  {url}: {status} "):
        download(make.request(make.file(DATA, url)))
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_temporary_failure_is_retried(server, make, status) -> None:
    """408, 429 and 5xx."""
    url = server.serve("/f", page(status), page(status), File(DATA))
    download(make.request(make.file(DATA, url), attempts=3))
    assert make.target.read_bytes() == DATA
    assert len(server.asked) == 3


def test_the_number_of_attempts_is_limited(server, make) -> None:
    """By the request; the error states it."""
    url = server.serve("/f", page(500))
    with pytest.raises(DownloadError, match=r"500 Internal Server Error \(3 attempts\)"):
        download(make.request(make.file(DATA, url), attempts=3))
    assert len(server.asked) == 3


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured_up_to_a_cap(server, make, form) -> None:
    """It replaces the backoff; longer times are shortened to the limit."""
    wish = "3600" if form == "seconds" else formatdate(time.time() + 3600, usegmt=True)
    url = server.serve("/f", page(429, Retry_After=wish), File(DATA))
    began = time.monotonic()
    download(make.request(make.file(DATA, url), transport={"longest_wait": 0.4}))
    assert 0.4 <= time.monotonic() - began < 3


@pytest.mark.parametrize(
    "answer",
    [
        page(200, "<html>please sign in</html>"),
        File(b" \r\n<!DOCTYPE HTML><title>quota</title>", headers={"Content-Type": "image/png"}),
        File(b"\xef\xbb\xbf<HTML>", headers={"Content-Type": "application/octet-stream"}),
        File(b"anything", headers={"Content-Type": "text/html; charset=utf-8"}),
    ],
)
def test_a_page_instead_of_the_file_is_an_error(tls_server, make, answer) -> None:
    """HTML is reported as a login or quota page; no retry."""
    url = tls_server.serve("/f", answer)
    with pytest.raises(DownloadError, match="a login or quota page"):
        download(make.request(make.file(None, url)))
    assert len(tls_server.asked) == 1
    assert not make.target.exists()
    assert not make.partial.exists()


def test_a_published_digest_decides_whether_html_is_the_file(server, make) -> None:
    """A file whose published content is HTML is downloaded; another page is named as such."""
    data = b"<html>a page</html>"
    url = server.serve("/f", File(data))
    download(make.request(make.file(data, url)))
    assert make.target.read_bytes() == data
    make.target.unlink()
    other = server.serve("/g", page(200, "<html>A page</html>"))
    with pytest.raises(DownloadError, match="a login or quota page"):
        download(make.request(make.file(data, other)))
    assert not make.target.exists()


def test_html_may_be_downloaded_as_a_html_file(server, make) -> None:
    """A file named .html may contain HTML."""
    make.name = "index.html"
    data = b"<html>yes</html>"
    url = server.serve("/f", File(data, headers={"Content-Type": "text/html"}))
    download(make.request(make.file(data, url)))
    assert (make.folder / make.name).read_bytes() == data


@pytest.mark.parametrize("declared", [True, False])
def test_a_file_without_a_published_size_has_a_limit(tls_server, make, declared) -> None:
    """By its Content-Length before the transfer, else during it; nothing is kept."""
    url = tls_server.serve("/f", File(DATA, chunked=not declared))
    request = make.request(make.file(None, url), transport={"size_limit": 200_000})
    with pytest.raises(DownloadError, match="larger than 200,000 bytes"):
        download(request)
    assert not make.partial.exists()
    assert len(tls_server.asked) == 1


@pytest.mark.parametrize("digits", [19, 5000])
def test_a_content_range_with_too_many_digits_restarts_the_download(server, make, digits) -> None:
    """Like any invalid one."""

    def huge(handler):
        if "range" not in handler.asked.headers:
            File(DATA)(handler)
            return
        handler.head(206, ETag='"one"', Content_Range="bytes 1000-5/" + "9" * digits)

    url = server.serve("/f", File(DATA, cut=1000), huge)
    download(make.request(make.file(DATA, url)))
    assert make.target.read_bytes() == DATA


def test_a_reason_phrase_is_printable(server, make) -> None:
    """Escapes of a terminal are shown as text, and long phrases are cut."""

    def rude(handler):
        handler.wfile.write(b"HTTP/1.1 404 \x1b[31mred\x07" + b"x" * 9999 + b"\r\n\r\n")

    with pytest.raises(DownloadError) as caught:
        download(make.request(make.file(DATA, server.serve("/f", rude))))
    reason = caught.value.message.split("\n")[1]
    assert "404 \\x1b[31mred\\x07xx" in reason
    assert reason.isprintable()
    assert len(reason) < 200


def test_redirects_are_followed(server, make) -> None:
    """Also when a download is resumed."""
    server.serve("/real", File(DATA, cut=1000), File(DATA))
    url = server.serve("/f", redirect("/real"))
    download(make.request(make.file(DATA, url)))
    assert make.target.read_bytes() == DATA
    assert server.asked[3].headers["range"] == "bytes=1000-"


def test_a_declared_content_encoding_is_not_decoded(server, make) -> None:
    """A compressed file stays compressed."""
    data = b"\x1f\x8b not gzip at all"
    url = server.serve("/f", File(data, headers={"Content-Encoding": "gzip"}))
    download(make.request(make.file(data, url)))
    assert make.target.read_bytes() == data


def test_a_refused_connection_is_one_sentence(make) -> None:
    """Without the nested exceptions of requests and urllib3."""
    with pytest.raises(DownloadError) as caught:
        download(make.request(make.file(DATA, "http://127.0.0.1:9/f"), attempts=1))
    assert "the connection failed: Connection refused" in caught.value.message
    assert "HTTPConnectionPool" not in "".join(caught.value.lines())
