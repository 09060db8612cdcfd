"""The check whether a source can be reached."""

from __future__ import annotations

import socket
import time

import pytest

from tests.support.web_server import File, page
from toolchain.catalog.records import GoogleDriveSource, HttpSource, ModelFile, PackageSource
from toolchain.transfer.probe import probe
from toolchain.transfer.transport import Transport


def file(*sources) -> ModelFile:
    return ModelFile("weights.bin", None, None, sources)


def test_a_server_that_has_the_file_is_reachable(tls_server) -> None:
    """One byte is requested."""
    url = tls_server.serve("/f", File(b"x" * 100_000))
    answer = probe((file(HttpSource(url)),), 5)
    assert answer.ok
    assert answer.reason == f"{url} answers"
    assert tls_server.asked[0].headers["range"] == "bytes=0-0"


def test_one_reachable_source_is_enough(tls_server) -> None:
    """The second is used if the first is missing."""
    sources = [
        HttpSource(tls_server.serve("/a", page(404))),
        HttpSource(tls_server.serve("/b", File(b"x"))),
    ]
    assert probe((file(*sources),), 5).ok


def test_a_silent_server_takes_no_longer_than_the_timeout(tls_server) -> None:
    """Other sources are asked at the same time."""
    slow = HttpSource(tls_server.serve("/slow", lambda handler: handler.server.stopping.wait(30)))
    began = time.monotonic()
    answer = probe((file(slow),), 0.3)
    assert time.monotonic() - began < 1.5
    assert not answer.ok
    assert "0.3 s" in answer.reason
    assert probe((file(slow, HttpSource(tls_server.serve("/f", File(b"x")))),), 5).ok


def test_slow_name_resolution_takes_no_longer_than_the_timeout(monkeypatch) -> None:
    """It goes on in its thread."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(2) or [])
    began = time.monotonic()
    answer = probe((file(HttpSource("http://models.invalid/f")),), 0.3)
    assert time.monotonic() - began < 1.5
    assert not answer.ok


@pytest.mark.parametrize(
    ("answer", "expected"), [(page(404), "404 Not Found"), (page(200), "received a web page")]
)
def test_anything_but_the_file_is_not_reachable(tls_server, answer, expected) -> None:
    """An error status, or the login page of a network."""
    found = probe((file(HttpSource(tls_server.serve("/f", answer))),), 5)
    assert not found.ok
    assert expected in found.reason


def test_drive_and_local_files_are_checked(tls_server) -> None:
    """Drive as for a download; a local file must exist."""
    tls_server.serve("/uc", File(b"x"))
    transport = Transport(drive_url=f"{tls_server.base}/uc")
    assert probe((file(GoogleDriveSource("some-id")),), 5, transport).ok
    assert not probe((file(PackageSource("absent.bin")),), 5).ok


def test_missing_sources_are_not_reachable() -> None:
    """No file, no source, no server, no valid URL: never an exception."""
    assert not probe((), 1).ok
    assert not probe((file(),), 1).ok
    assert not probe((file(HttpSource("http://127.0.0.1:9/")),), 1).ok
    assert not probe((file(HttpSource("http://[/")),), 1).ok
