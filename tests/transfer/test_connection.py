"""Proxies, certificates and redirects."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess

import pytest
import requests

from tests.support.web_server import File, running
from toolchain.errors import DownloadError
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


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl for the certificate")
def test_certificates_are_verified_and_can_be_added(make, tmp_path, monkeypatch) -> None:
    """An unknown certificate is rejected; REQUESTS_CA_BUNDLE makes it trusted."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    options = ["-newkey", "rsa:2048", "-nodes", "-days", "2", *name, *files]
    subprocess.run(["openssl", "req", "-x509", *options], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with running() as secure:
        secure.socket = context.wrap_socket(secure.socket, server_side=True)
        url = secure.serve("/f", File(DATA)).replace("http:", "https:")
        with pytest.raises(DownloadError, match=r"certificate was rejected.*REQUESTS_CA_BUNDLE"):
            download(make.request(make.file(DATA, url)))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        download(make.request(make.file(DATA, url)))
        assert make.target.read_bytes() == DATA


def test_a_redirect_from_https_to_http_is_refused() -> None:
    """It would give up the protection of https; from http to http is allowed."""
    asked, given = requests.Response(), requests.Response()
    asked.url, given.url, given.history = "https://a.example/", "http://b.example/", [asked]
    assert connection_module._is_downgraded(given)
    asked.url = "http://a.example/"
    assert not connection_module._is_downgraded(given)
