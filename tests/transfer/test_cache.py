"""The cache of files by digest."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

import pytest

from tests.support.web_server import File, page
from toolchain.catalog.records import Digest
from toolchain.errors import WorkspaceError
from toolchain.progress import SilentListener
from toolchain.stages.download.download import download
from toolchain.transfer import cache as cache_module

DATA = os.urandom(50_000)
DIGEST = hashlib.sha384(DATA).hexdigest()


@pytest.fixture
def entry(tmp_path):
    """The path that Open Model Zoo's downloader uses."""
    return tmp_path / "cache" / "1" / DIGEST[:2] / DIGEST[2:]


def test_a_fetched_file_is_stored_and_loaded_again(server, make, entry, tmp_path) -> None:
    """With Open Model Zoo's layout; the second folder needs no request."""
    url = server.serve("/f", File(DATA))
    request = make.request(make.file(DATA, url), cache_dir=tmp_path / "cache")
    download(request)
    assert entry.read_bytes() == DATA
    (got,) = download(replace(request, folder=tmp_path / "second")).files
    assert got.status == "cached"
    assert got.path.read_bytes() == DATA
    assert len(server.asked) == 1


@pytest.mark.parametrize("damage", [b"", DATA[:-1], DATA + b"x", bytes(50_000)])
def test_a_damaged_entry_is_replaced(server, make, entry, tmp_path, damage) -> None:
    """It is never used; the fetched file replaces it."""
    entry.parent.mkdir(parents=True)
    entry.write_bytes(damage)
    url = server.serve("/f", File(DATA))
    (got,) = download(make.request(make.file(DATA, url), cache_dir=tmp_path / "cache")).files
    assert got.status == "fetched"
    assert make.target.read_bytes() == entry.read_bytes() == DATA


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_an_entry_that_is_not_a_plain_file_is_not_read(server, make, entry, tmp_path, kind) -> None:
    """Without waiting; the file comes from its source."""
    entry.parent.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(entry)
    elif kind == "device":
        entry.symlink_to("/dev/zero")
    else:
        entry.mkdir()
    url = server.serve("/f", File(DATA))
    download(make.request(make.file(DATA, url), cache_dir=tmp_path / "cache"))
    assert make.target.read_bytes() == DATA


def test_a_damaged_entry_does_not_change_the_target(server, make, entry, tmp_path) -> None:
    """Without a source either, the target is unchanged and the entry is removed."""
    entry.parent.mkdir(parents=True)
    entry.write_bytes(b"damaged")
    make.folder.mkdir()
    make.target.write_bytes(b"older")
    url = server.serve("/f", page(404))
    with pytest.raises(Exception, match="no source provided"):
        download(make.request(make.file(DATA, url), cache_dir=tmp_path / "cache"))
    assert make.target.read_bytes() == b"older"
    assert not entry.exists()


def test_a_cache_that_cannot_be_written_is_not_an_error(server, make, tmp_path) -> None:
    """The download succeeds, and a note states why the file was not stored."""
    (tmp_path / "cache").write_bytes(b"a file, not a folder")
    notes = []

    class Listener(SilentListener):
        def note(self, text: str) -> None:
            notes.append(text)

    url = server.serve("/f", File(DATA))
    request = make.request(make.file(DATA, url), cache_dir=tmp_path / "cache")
    download(request, Listener())
    assert make.target.read_bytes() == DATA
    assert "not stored in the cache" in notes[0]


def test_only_verified_files_are_stored(tls_server, make, entry, tmp_path):
    """A file with a recorded digest is, one without any digest is not."""
    url = tls_server.serve("/f", File(DATA))
    request = make.request(make.file(None, url), cache_dir=tmp_path / "cache")
    download(request)
    assert not entry.exists()
    pins = ((make.name, Digest("sha384", DIGEST)),)
    download(replace(request, pins=pins))
    assert entry.read_bytes() == DATA


def test_only_sha384_digests_have_entries() -> None:
    """The layout has no place for others."""
    assert cache_module.entry_path("cache", Digest("sha256", "0" * 64)) is None
    assert cache_module.entry_path("cache", None) is None


def test_an_unwritable_target_is_an_error(make, entry, tmp_path) -> None:
    """Even if the cache has the file."""
    entry.parent.mkdir(parents=True)
    entry.write_bytes(DATA)
    make.folder.write_bytes(b"in the way")
    with pytest.raises(WorkspaceError):
        download(make.request(make.file(DATA), cache_dir=tmp_path / "cache"))
