"""A file that nothing verifies is not fetched where others can change it on the way."""

from __future__ import annotations

import pytest

from tests.support.downloads import Maker
from tests.support.web_server import File, Server, redirect
from toolchain.errors import DownloadError
from toolchain.stages.download.download import download
from toolchain.transfer.connection import connect
from toolchain.transfer.transport import Transport

DATA = b"weights" * 100


def test_plain_http_without_a_digest_is_refused(server: Server, make: Maker) -> None:
    """Before any request, also from this machine."""
    url = server.serve("/x", File(DATA))
    with pytest.raises(DownloadError, match="not fetched over plain http"):
        download(make.request(make.file(DATA, url, digest=False)))
    assert server.asked == []
    assert not make.target.exists()


def test_plain_http_with_a_digest_is_used(server: Server, make: Maker) -> None:
    """The digest verifies what was sent."""
    download(make.request(make.file(DATA, server.serve("/x", File(DATA)))))
    assert make.target.read_bytes() == DATA


def test_the_next_source_is_tried(server: Server, tls_server: Server, make: Maker) -> None:
    """A source over TLS behind one over plain http."""
    plain = server.serve("/x", File(DATA))
    secure = tls_server.serve("/x", File(DATA))
    download(make.request(make.file(DATA, plain, secure, digest=False)))
    assert server.asked == []
    assert len(tls_server.asked) == 1


def test_a_redirect_to_plain_http_is_refused_too(
    server: Server, tls_server: Server, make: Maker
) -> None:
    """Each address on the way counts."""
    url = tls_server.serve("/x", redirect(server.serve("/x", File(DATA))))
    with pytest.raises(DownloadError, match=r"plain http|https to http"):
        download(make.request(make.file(DATA, url, digest=False)))
    assert server.asked == []


@pytest.mark.parametrize("url", ["HTTP://example.org/x.pth", "http://192.0.2.1/x"])
def test_no_request_is_sent(url: str) -> None:
    """Whatever the host is."""
    with connect(Transport()) as connection, pytest.raises(Exception, match="plain http"):
        connection.get(url, {}, verified=False)
