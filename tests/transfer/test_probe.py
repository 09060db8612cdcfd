"""Whether a source could be reached: quick, and never an exception."""

from __future__ import annotations

import socket
import time

import pytest

from tests.support.web_server import File, page
from toolchain.catalog.records import GoogleDriveSource, HttpSource, ModelFile, PackageSource
from toolchain.transfer.probe import reachable
from toolchain.transfer.transport import Transport


def file(*sources) -> ModelFile:
    return ModelFile("weights.bin", None, None, sources)


def test_a_server_that_has_it_is_reachable(server) -> None:
    """One byte is asked for."""
    url = server.serve("/f", File(b"x" * 100_000))
    answer = reachable((file(HttpSource(url)),), 5)
    assert answer.ok
    assert answer.reason == f"{url} answers"
    assert server.asked[0].headers["range"] == "bytes=0-0"


def test_any_source_will_do(server) -> None:
    """A missing first source does not hide the second."""
    sources = [
        HttpSource(server.serve("/a", page(404))),
        HttpSource(server.serve("/b", File(b"x"))),
    ]
    assert reachable((file(*sources),), 5).ok


def test_a_silent_server_costs_no_more_than_the_time_given(server) -> None:
    """The time is counted by the clock, whatever hangs, and the other sources are asked beside."""
    slow = HttpSource(server.serve("/slow", lambda handler: handler.server.stopping.wait(30)))
    began = time.monotonic()
    answer = reachable((file(slow),), 0.3)
    assert time.monotonic() - began < 1.5
    assert not answer.ok
    assert "0.3 s" in answer.reason
    assert reachable((file(slow, HttpSource(server.serve("/f", File(b"x")))),), 5).ok


def test_a_name_that_hangs_costs_no_more_either(monkeypatch) -> None:
    """A look-up that never ends is left behind."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(2) or [])
    began = time.monotonic()
    answer = reachable((file(HttpSource("http://models.invalid/f")),), 0.3)
    assert time.monotonic() - began < 1.5
    assert not answer.ok


@pytest.mark.parametrize(
    ("answer", "said"), [(page(404), "404 Not Found"), (page(200), "a web page came")]
)
def test_what_is_not_the_file_is_not_reachable(server, answer, said) -> None:
    """A refusal, or the page of a network that wants a login first."""
    found = reachable((file(HttpSource(server.serve("/f", answer))),), 5)
    assert not found.ok
    assert said in found.reason


def test_drive_and_local_files_count(server) -> None:
    """Drive is asked as for a download; a file of the package has only to be there."""
    server.serve("/uc", File(b"x"))
    patient = Transport(drive_url=f"{server.base}/uc")
    assert reachable((file(GoogleDriveSource("some-id")),), 5, patient).ok
    assert not reachable((file(PackageSource("absent.bin")),), 5).ok


def test_nothing_is_not_reachable() -> None:
    """No file, no source, no server: an answer each time."""
    assert not reachable((), 1).ok
    assert not reachable((file(),), 1).ok
    assert not reachable((file(HttpSource("http://127.0.0.1:9/")),), 1).ok
    assert not reachable((file(HttpSource("http://[/")),), 1).ok
