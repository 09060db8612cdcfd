"""The cache by content."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

import pytest

from tests.support.web_server import File, page
from toolchain.catalog.records import Digest
from toolchain.errors import WorkspaceError
from toolchain.stages.download import download
from toolchain.transfer import cache as cache_module

DATA = os.urandom(50_000)
DIGEST = hashlib.sha384(DATA).hexdigest()


@pytest.fixture
def entry(tmp_path):
    """Where the incumbent would put it."""
    return tmp_path / "cache" / "1" / DIGEST[:2] / DIGEST[2:]


def test_a_fetched_file_is_kept_and_taken_again(server, make, entry, tmp_path) -> None:
    """The layout is Open Model Zoo's; the second folder is filled without a request."""
    url = server.serve("/f", File(DATA))
    request = make.request(make.file(DATA, url), cache_dir=tmp_path / "cache")
    download(request)
    assert entry.read_bytes() == DATA
    (got,) = download(replace(request, folder=tmp_path / "second")).files
    assert got.status == "cached"
    assert got.path.read_bytes() == DATA
    assert len(server.asked) == 1


@pytest.mark.parametrize("damage", [b"", DATA[:-1], DATA + b"x", bytes(50_000)])
def test_a_damaged_entry_is_repaired(server, make, entry, tmp_path, damage) -> None:
    """It is never used, and the fetched file takes its place."""
    entry.parent.mkdir(parents=True)
    entry.write_bytes(damage)
    url = server.serve("/f", File(DATA))
    (got,) = download(make.request(make.file(DATA, url), cache_dir=tmp_path / "cache")).files
    assert got.status == "fetched"
    assert make.target.read_bytes() == entry.read_bytes() == DATA


def test_a_damaged_entry_does_not_harm_what_is_there(server, make, entry, tmp_path) -> None:
    """With no source either, the target stays as it was."""
    entry.parent.mkdir(parents=True)
    entry.write_bytes(b"damaged")
    make.folder.mkdir()
    make.target.write_bytes(b"older")
    url = server.serve("/f", page(404))
    with pytest.raises(Exception, match="no source"):
        download(make.request(make.file(DATA, url), cache_dir=tmp_path / "cache"))
    assert make.target.read_bytes() == b"older"
    assert not entry.exists()


def test_a_cache_that_can_not_be_written_harms_nobody(server, make, tmp_path) -> None:
    """The download succeeds, and the listener hears why nothing was kept."""
    (tmp_path / "cache").write_bytes(b"a file, no folder")
    said = []

    class Listener:
        def task(self, *_):
            from toolchain.progress import SilentListener

            return SilentListener().task("")

        def note(self, text):
            said.append(text)

    url = server.serve("/f", File(DATA))
    request = make.request(make.file(DATA, url), cache_dir=tmp_path / "cache")
    download(request, Listener())
    assert make.target.read_bytes() == DATA
    assert "not kept in the cache" in said[0]


def test_a_pinned_file_is_cached_and_an_unverified_one_is_not(server, make, entry, tmp_path):
    """Only content that something vouches for is kept."""
    url = server.serve("/f", File(DATA))
    request = make.request(make.file(None, url), cache_dir=tmp_path / "cache")
    download(request)
    assert not entry.exists()
    pins = ((make.name, Digest("sha384", DIGEST)),)
    download(replace(request, pins=pins))
    assert entry.read_bytes() == DATA


def test_other_digests_are_not_looked_up() -> None:
    """The layout knows sha384 alone."""
    assert cache_module.entry_of("cache", Digest("sha256", "0" * 64)) is None
    assert cache_module.entry_of("cache", None) is None


def test_an_unwritable_target_is_an_error(make, entry, tmp_path) -> None:
    """The cache is fine, the place is not."""
    entry.parent.mkdir(parents=True)
    entry.write_bytes(DATA)
    make.folder.write_bytes(b"in the way")
    with pytest.raises(WorkspaceError):
        download(make.request(make.file(DATA), cache_dir=tmp_path / "cache"))
