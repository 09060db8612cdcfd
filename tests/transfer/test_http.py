"""What the download does with servers that cut, lie, stall and change their mind."""

from __future__ import annotations

import os
import time
from email.utils import formatdate

import pytest

from tests.support.web_server import File, page, redirect
from toolchain.errors import DownloadError
from toolchain.stages.download import download
from toolchain.transfer.transport import Transport

DATA = os.urandom(300_000)
OTHER = os.urandom(300_000)


def test_a_file_arrives_as_it_was_served(server, make) -> None:
    """The target holds the served bytes, and nothing else is left in the folder."""
    url = server.serve("/f", File(DATA))
    (got,) = download(make.request(make.file(DATA, url))).files
    assert make.target.read_bytes() == DATA
    assert (got.status, got.verified_by, got.size) == ("fetched", "published", len(DATA))
    assert {path.name for path in make.folder.iterdir()} <= {make.name, f".{make.name}.lock"}
    assert server.asked[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_cut_connection_is_gone_on_from(server, make, reset, chunked) -> None:
    """After a cut the rest alone is asked for, on the condition that the file is the same."""
    url = server.serve("/f", File(DATA, cut=200_000, reset=reset, chunked=chunked), File(DATA))
    download(make.request(make.file(DATA, url)))
    assert make.target.read_bytes() == DATA
    second = server.asked[1].headers
    assert second["if-range"] == '"one"'
    offset = int(second["range"].removeprefix("bytes=").removesuffix("-"))
    if not reset:  # which may throw away what was on its way
        assert offset == 200_000


def test_a_length_that_is_declared_too_long_is_noticed(server, make) -> None:
    """A body that ends before its Content-Length is no whole file."""
    url = server.serve("/f", File(DATA, declared=len(DATA) + 9))
    with pytest.raises(DownloadError, match="cut off with 9 bytes still to come"):
        download(make.request(make.file(DATA, url, size=False), attempts=1))
    assert not make.target.exists()


@pytest.mark.parametrize("declared", [len(DATA) - 9, len(DATA) + 9])
def test_a_length_other_than_the_published_one_is_refused_at_once(server, make, declared) -> None:
    """The next source is tried without another attempt, and nothing is transferred."""
    bad = server.serve("/bad", File(DATA, declared=declared))
    good = server.serve("/good", File(DATA))
    download(make.request(make.file(DATA, bad, good)))
    assert make.target.read_bytes() == DATA
    assert [asked.path for asked in server.asked] == ["/bad", "/good"]


def test_a_body_that_is_too_long_is_refused(server, make) -> None:
    """Without a declared length, more bytes than were published end the transfer."""
    url = server.serve("/f", File(DATA + b"more", chunked=True))
    with pytest.raises(DownloadError, match="wrong size: expected 300,000 bytes, found more"):
        download(make.request(make.file(DATA, url)))
    assert not make.target.exists()
    assert not make.partial.exists()
    assert len(server.asked) == 1


def test_a_body_that_ends_early_without_a_length_is_gone_on_from(server, make) -> None:
    """The published size tells that the connection was closed too soon."""

    def closes(handler):
        handler.send_response(200)
        handler.send_header("ETag", '"one"')
        handler.end_headers()
        handler.body(DATA[:1000])

    url = server.serve("/f", closes, File(DATA))
    download(make.request(make.file(DATA, url)))
    assert make.target.read_bytes() == DATA
    assert server.asked[1].headers["range"] == "bytes=1000-"


def test_a_server_that_ignores_range_makes_it_start_over(server, make) -> None:
    """Status 200 to a request for the rest gives the whole file, once."""
    url = server.serve("/f", File(DATA, cut=1000), File(DATA, ranges=False))
    download(make.request(make.file(DATA, url)))
    assert make.target.read_bytes() == DATA
    assert server.asked[1].headers["range"] == "bytes=1000-"


@pytest.mark.parametrize("strict", [True, False])
def test_a_file_that_changed_is_never_spliced(server, make, strict) -> None:
    """Another ETag makes it start over, even where the server does not honour If-Range."""
    url = server.serve("/f", File(OTHER, cut=1000), File(DATA, etag='"two"', strict=strict))
    download(make.request(make.file(None, url)))
    assert make.target.with_name(make.name + ".unverified").read_bytes() == DATA


@pytest.mark.parametrize(("age", "goes_on"), [(3600, True), (0, False)])
def test_a_modification_time_counts_if_it_is_old_enough(server, make, age, goes_on) -> None:
    """A time within the same second as the answer does not tell two contents apart."""
    settled = File(DATA, etag=None, modified=time.time() - age)
    url = server.serve("/f", File(DATA, None, settled.modified, cut=1000), settled)
    download(make.request(make.file(None, url)))
    assert ("range" in server.asked[1].headers) is goes_on
    assert make.target.with_name(make.name + ".unverified").read_bytes() == DATA


def test_a_weak_tag_does_not_count(server, make) -> None:
    """Without a reliable validator and a digest it begins afresh."""
    url = server.serve("/f", File(OTHER, 'W/"one"', cut=1000), File(DATA, 'W/"one"', strict=False))
    download(make.request(make.file(None, url)))
    assert make.target.with_name(make.name + ".unverified").read_bytes() == DATA
    assert "range" not in server.asked[1].headers


def test_a_spliced_file_is_fetched_again_from_the_beginning(server, make) -> None:
    """Where a digest alone guards the splice, a wrong one costs a whole transfer, no more."""
    url = server.serve("/f", File(OTHER, None, cut=1000), File(DATA, None))
    download(make.request(make.file(DATA, url)))
    assert make.target.read_bytes() == DATA
    assert ["range" in asked.headers for asked in server.asked] == [False, True, False]


def test_a_part_longer_than_the_file_is_dropped(server, make) -> None:
    """416 makes it start over within the same attempt."""
    url = server.serve("/f", File(OTHER, cut=200_000), File(DATA[:100], strict=False))
    download(make.request(make.file(DATA[:100], url, size=False), attempts=2))
    assert make.target.read_bytes() == DATA[:100]


def test_a_range_from_elsewhere_is_not_used(server, make) -> None:
    """A Content-Range that begins at another byte makes it start over."""

    def elsewhere(handler):
        if "range" not in handler.asked.headers:
            File(DATA)(handler)
            return
        handler.head(206, Content_Range=f"bytes 7-{len(DATA) - 1}/{len(DATA)}", Content_Length=3)
        handler.body(b"xyz")

    url = server.serve("/f", File(DATA, cut=1000), elsewhere)
    download(make.request(make.file(DATA, url)))
    assert make.target.read_bytes() == DATA


def test_an_unasked_for_part_is_refused(server, make) -> None:
    """206 to a request for the whole file is an error, not a file."""

    def part(handler):
        handler.head(206, Content_Range=f"bytes 0-2/{len(DATA)}", Content_Length=3)
        handler.body(DATA[:3])

    url = server.serve("/f", part)
    with pytest.raises(DownloadError, match="sent a part of the file"):
        download(make.request(make.file(DATA, url)))


def test_a_stall_is_noticed_and_gone_on_from(server, make) -> None:
    """A connection that gives nothing for the read timeout is dropped; what came is kept."""
    url = server.serve("/f", File(DATA, cut=1000, stall=30), File(DATA))
    began = time.monotonic()
    download(make.request(make.file(DATA, url), transport={"read_timeout": 0.2}))
    assert time.monotonic() - began < 5
    assert make.target.read_bytes() == DATA
    assert server.asked[1].headers["range"] == "bytes=1000-"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
def test_a_refusal_is_not_repeated(server, make, status) -> None:
    """404 and its like are asked for once, and said."""
    url = server.serve("/f", page(status), File(DATA))
    with pytest.raises(DownloadError, match=f"  {url}: {status} "):
        download(make.request(make.file(DATA, url)))
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_passing_failure_is_repeated(server, make, status) -> None:
    """429, 5xx and 408 may do better in a moment."""
    url = server.serve("/f", page(status), page(status), File(DATA))
    download(make.request(make.file(DATA, url), attempts=3))
    assert make.target.read_bytes() == DATA
    assert len(server.asked) == 3


def test_attempts_come_to_an_end(server, make) -> None:
    """The number of requests is the one that was asked for, and the error tells it."""
    url = server.serve("/f", page(500))
    with pytest.raises(DownloadError, match=r"500 Internal Server Error \(3 attempts\)"):
        download(make.request(make.file(DATA, url), attempts=3))
    assert len(server.asked) == 3


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured_up_to_a_cap(server, make, form) -> None:
    """The server's wish replaces the backoff, but an hour is not waited for."""
    wish = "3600" if form == "seconds" else formatdate(time.time() + 3600, usegmt=True)
    url = server.serve("/f", page(429, Retry_After=wish), File(DATA))
    began = time.monotonic()
    download(make.request(make.file(DATA, url), transport={"longest_wait": 0.4}))
    assert 0.4 <= time.monotonic() - began < 3


def test_backoff_doubles_with_jitter_and_is_capped() -> None:
    """Delays lie between half and all of 1, 2, 4 ... s, never above the cap."""
    patience = Transport(first_delay=1, longest_delay=5)
    for failures, most in ((1, 1), (2, 2), (3, 4), (4, 5), (50, 5)):
        delays = [patience.delay(failures) for _ in range(50)]
        assert all(most / 2 <= delay <= most for delay in delays)
        assert len(set(delays)) > 1


@pytest.mark.parametrize(
    "answer",
    [
        page(200, "<html>please sign in</html>"),
        File(b" \r\n<!DOCTYPE HTML><title>quota</title>", headers={"Content-Type": "image/png"}),
        File(b"\xef\xbb\xbf<HTML>", headers={"Content-Type": "application/octet-stream"}),
        File(b"anything", headers={"Content-Type": "text/html; charset=utf-8"}),
    ],
)
def test_a_page_in_place_of_the_file_is_recognised(server, make, answer) -> None:
    """HTML is said to be a login or quota page, and no further attempt is made."""
    url = server.serve("/f", answer)
    with pytest.raises(DownloadError, match="a login or quota page"):
        download(make.request(make.file(None, url)))
    assert len(server.asked) == 1
    assert not make.target.exists()
    assert not make.partial.exists()


def test_a_page_is_a_file_where_one_was_asked_for(server, make) -> None:
    """A file called .html may hold HTML."""
    make.name = "index.html"
    data = b"<html>yes</html>"
    url = server.serve("/f", File(data, headers={"Content-Type": "text/html"}))
    download(make.request(make.file(data, url)))
    assert (make.folder / make.name).read_bytes() == data


def test_redirects_are_followed(server, make) -> None:
    """Also when going on after a cut."""
    server.serve("/real", File(DATA, cut=1000), File(DATA))
    url = server.serve("/f", redirect("/real"))
    download(make.request(make.file(DATA, url)))
    assert make.target.read_bytes() == DATA
    assert server.asked[3].headers["range"] == "bytes=1000-"


def test_bytes_are_taken_as_they_are_stored(server, make) -> None:
    """A claimed Content-Encoding does not make the client unpack a file that is packed itself."""
    data = b"\x1f\x8b not gzip at all"
    url = server.serve("/f", File(data, headers={"Content-Encoding": "gzip"}))
    download(make.request(make.file(data, url)))
    assert make.target.read_bytes() == data


def test_a_refused_connection_is_explained(make) -> None:
    """Nobody listens: one short sentence, no nest of exceptions."""
    with pytest.raises(DownloadError) as caught:
        download(make.request(make.file(DATA, "http://127.0.0.1:9/f"), attempts=1))
    assert "the connection failed: Connection refused" in caught.value.message
    assert "HTTPConnectionPool" not in "".join(caught.value.lines())
