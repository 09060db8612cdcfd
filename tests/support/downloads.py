"""Fixtures for tests of downloads."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from tests.support.web_server import Server, running
from toolchain.catalog.records import Digest, FileSource, HttpSource, ModelFile, Source
from toolchain.stages.download.request import DownloadRequest
from toolchain.transfer.transport import Transport

QUICK = Transport(
    first_delay=0.001, longest_delay=0.002, longest_wait=0.05, connect_timeout=2, read_timeout=0.5
)


@pytest.fixture
def server() -> Iterator[Server]:
    """A web server on loopback."""
    with running() as started:
        yield started


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Signs certificates of servers on loopback."""
    return trustme.CA()


@pytest.fixture
def tls_server(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    """A web server on loopback whose certificate is trusted.

    Files without a digest are fetched from such servers only.
    """
    bundle = tmp_path_factory.mktemp("certificates") / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with running(context) as started:
        yield started


class Maker:
    """Builds requests for one file named `name` in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = "weights.bin"
        self.target = folder / self.name
        self.partial = folder / f".{self.name}.partial"

    def file(
        self, data: bytes | None, *sources: str | Source, size: bool = True, digest: bool = True
    ) -> ModelFile:
        """A file with the published content `data`; a string is an HTTP source."""
        given = tuple(HttpSource(item) if isinstance(item, str) else item for item in sources)
        known = Digest("sha384", hashlib.sha384(data).hexdigest()) if data is not None else None
        published = len(data) if data is not None else None
        return ModelFile(self.name, published if size else None, known if digest else None, given)

    def request(self, *files: ModelFile, attempts: int = 4, **more) -> DownloadRequest:
        """A request with short timeouts and delays."""
        transport = replace(QUICK, **more.pop("transport", {}))
        return DownloadRequest(
            files=files, folder=self.folder, attempts=attempts, transport=transport, **more
        )

    def source(self, path: Path) -> FileSource:
        """A local file as a source."""
        return FileSource(path)


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    """Builds requests for one file in an empty folder."""
    return Maker(tmp_path / "results")
