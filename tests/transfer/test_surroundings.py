"""Proxies, certificates and secrets: what the download takes from its surroundings."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess

import pytest
import requests

from tests.support.web_server import File, running
from toolchain.catalog.records import HttpSource
from toolchain.errors import DownloadError
from toolchain.stages.download import download
from toolchain.transfer import connection as connection_module
from toolchain.transfer.transport import shown

DATA = os.urandom(100_000)


def test_proxy_variables_are_honoured(server, make, monkeypatch) -> None:
    """http_proxy leads the request to the proxy, with the full URL as its path."""
    monkeypatch.setenv("http_proxy", server.base)
    monkeypatch.setenv("no_proxy", "")
    server.serve("http://models.invalid/f", File(DATA))
    download(make.request(make.file(DATA, "http://models.invalid/f")))
    assert make.target.read_bytes() == DATA
    assert server.asked[0].path == "http://models.invalid/f"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_certificates_are_checked_and_may_be_added(make, tmp_path, monkeypatch) -> None:
    """A stranger's certificate is refused at once; REQUESTS_CA_BUNDLE makes it trusted."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *name, *files]
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with running() as secure:
        secure.socket = context.wrap_socket(secure.socket, server_side=True)
        url = secure.serve("/f", File(DATA)).replace("http:", "https:")
        with pytest.raises(DownloadError, match=r"not accepted.*REQUESTS_CA_BUNDLE"):
            download(make.request(make.file(DATA, url)))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        download(make.request(make.file(DATA, url)))
        assert make.target.read_bytes() == DATA


def test_a_way_from_https_to_http_is_refused() -> None:
    """Whoever redirects there gives up what https had promised."""
    asked, given = requests.Response(), requests.Response()
    asked.url, given.url, given.history = "https://a.example/", "http://b.example/", [asked]
    assert connection_module._downgraded(given)
    asked.url = "http://a.example/"
    assert not connection_module._downgraded(given)


def test_a_password_in_a_url_is_never_shown() -> None:
    """Neither in messages nor in files beside the results."""
    source = HttpSource("https://me:secret@host.example/a@b/f")
    assert shown(source) == "https://host.example/a@b/f"
