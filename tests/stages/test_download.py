"""The download stage: order of sources, existing files, pins, plans, errors."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

import pytest

from tests.support.web_server import File, page
from toolchain.catalog.records import Digest, GoogleDriveSource, PackageSource
from toolchain.errors import DownloadError, IntegrityError, WorkspaceError
from toolchain.stages.download.download import download, plan

DATA = os.urandom(50_000)
OTHER = os.urandom(50_000)


def sha384(data: bytes) -> Digest:
    return Digest("sha384", hashlib.sha384(data).hexdigest())


def test_a_verified_file_is_not_fetched_again(server, make) -> None:
    """A second run sends no request and does not change the file."""
    request = make.request(make.file(DATA, server.serve("/f", File(DATA))))
    download(request)
    before = make.target.stat()
    (again,) = download(request).files
    assert again.status == "present"
    assert len(server.asked) == 1
    assert make.target.stat().st_mtime_ns == before.st_mtime_ns


def test_an_existing_file_is_verified_and_used(make) -> None:
    """A file placed manually needs no source."""
    make.folder.mkdir()
    make.target.write_bytes(DATA)
    (got,) = download(make.request(make.file(DATA, "http://127.0.0.1:9/f"))).files
    assert (got.status, got.verified_by, got.digest) == ("present", "published", sha384(DATA))


def test_sources_are_tried_in_order(server, make) -> None:
    """After a missing file, a wrong size or wrong content the next source is used."""
    urls = (
        server.serve("/missing", page(404)),
        server.serve("/short", File(DATA[:-1])),
        server.serve("/other", File(OTHER)),
        server.serve("/good", File(DATA)),
        server.serve("/unused", File(DATA)),
    )
    (got,) = download(make.request(make.file(DATA, *urls))).files
    assert make.target.read_bytes() == DATA
    assert got.source == urls[3]
    assert [asked.path for asked in server.asked] == ["/missing", "/short", "/other", "/good"]


def test_a_partial_file_is_not_resumed_from_another_source(server, make) -> None:
    """A mirror sends the whole file."""
    one = server.serve("/one", File(OTHER, cut=1000))
    two = server.serve("/two", File(DATA))
    download(make.request(make.file(DATA, one, two), attempts=1))
    assert make.target.read_bytes() == DATA
    assert "range" not in server.asked[1].headers


def test_a_partial_file_is_kept_if_the_mirrors_fail(server, make) -> None:
    """The next run resumes from the first source."""
    one = server.serve("/one", File(DATA, cut=20_000), File(DATA))
    two = server.serve("/two", page(404))
    request = make.request(make.file(DATA, one, two), attempts=1)
    with pytest.raises(DownloadError) as caught:
        download(request)
    assert caught.value.kept == "The received part is kept; the next run continues from it."
    assert make.partial.stat().st_size == 20_000
    download(request)
    assert make.target.read_bytes() == DATA
    assert server.asked[-1].headers["range"] == "bytes=20000-"


def test_a_complete_partial_file_needs_no_request(server, make) -> None:
    """If a process ended before the rename, the next one only verifies the file."""
    one = server.serve("/one", File(DATA, declared=len(DATA) + 1))
    with pytest.raises(DownloadError):
        download(make.request(make.file(DATA, one, size=False), attempts=1))
    download(make.request(make.file(DATA, one), attempts=1))
    assert make.target.read_bytes() == DATA
    assert len(server.asked) == 1


def test_a_damaged_partial_file_is_fetched_again(server, make) -> None:
    """The digest reveals changed bytes; the file is downloaded from the beginning."""
    url = server.serve("/f", File(DATA, cut=20_000), File(DATA))
    request = make.request(make.file(DATA, url), attempts=1)
    with pytest.raises(DownloadError):
        download(request)
    make.partial.write_bytes(OTHER[:20_000])
    download(request)
    assert make.target.read_bytes() == DATA
    assert ["range" in asked.headers for asked in server.asked] == [False, True, False]


@pytest.mark.parametrize("sidecar", ["", "{", "[]", '{"source": 1}', '{"source": "x"}'])
def test_a_partial_file_with_an_invalid_record_is_not_used(server, make, sidecar) -> None:
    """It is overwritten."""
    make.folder.mkdir()
    make.partial.write_bytes(OTHER)
    make.partial.with_name(make.partial.name + ".json").write_text(sidecar)
    download(make.request(make.file(DATA, server.serve("/f", File(DATA)))))
    assert make.target.read_bytes() == DATA
    assert "range" not in server.asked[0].headers


def test_a_failed_download_does_not_change_the_target(server, make) -> None:
    """An unexpected file stays until the expected one can replace it."""
    make.folder.mkdir()
    make.target.write_bytes(OTHER)
    url = server.serve("/f", page(500), File(DATA))
    request = make.request(make.file(DATA, url), attempts=1)
    with pytest.raises(DownloadError) as caught:
        download(request)
    assert make.target.read_bytes() == OTHER
    assert caught.value.kept == "The existing file is unchanged and is not used."
    download(request)
    assert make.target.read_bytes() == DATA


def test_the_error_names_every_source_and_the_alternatives(server, make) -> None:
    """Each source's reason, the URLs, the path for a manual download, the alternative."""
    url = server.serve("/f", page(404))
    drive = GoogleDriveSource("some-id")
    server.serve("/drive", page(404))
    local = make.source(make.folder / "absent")
    request = make.request(
        make.file(DATA, url, drive, local, PackageSource("absent.bin")),
        transport={"drive_url": f"{server.base}/drive"},
        alternative="Use other weights.",
    )
    with pytest.raises(DownloadError) as caught:
        download(request)
    text = "\n".join(caught.value.lines())
    assert f"  {url}: 404 Not Found" in text
    assert "  Google Drive id some-id: 404 Not Found" in text
    assert f"  {local}: No such file or directory" in text
    assert "  package data absent.bin: No such file or directory" in text
    assert f"get {url} or https://drive.google.com/uc?export=download&id=some-id" in text
    assert f"save it as {make.target.absolute()}" in text
    assert "Use other weights." in text


def test_a_file_without_sources_is_only_verified(make) -> None:
    """The error states whether it is missing or wrong."""
    request = make.request(make.file(DATA))
    with pytest.raises(DownloadError, match=r"weights\.bin: not found"):
        download(request)
    make.folder.mkdir(exist_ok=True)
    make.target.write_bytes(OTHER)
    with pytest.raises(IntegrityError, match=f"expected sha384 {sha384(DATA).value}, found"):
        download(request)
    assert make.target.read_bytes() == OTHER


def test_local_files_are_sources(make, tmp_path) -> None:
    """They are copied and verified; the source stays."""
    here = tmp_path / "here.bin"
    here.write_bytes(DATA)
    (got,) = download(make.request(make.file(DATA, make.source(here)))).files
    assert make.target.read_bytes() == here.read_bytes() == DATA
    assert got.source == str(here)


def test_package_data_is_a_source_and_never_leaves_the_package(make) -> None:
    """A path that leaves `toolchain/data` is refused."""
    with pytest.raises(DownloadError, match=r"package data '../errors.py' has a part"):
        download(make.request(make.file(DATA, PackageSource("../errors.py"))))


def test_a_published_sha256_is_verified_too(server, make) -> None:
    """The result still has the sha384."""
    published = Digest("sha256", hashlib.sha256(DATA).hexdigest())
    bad, good = server.serve("/bad", File(OTHER)), server.serve("/good", File(DATA))
    file = replace(make.file(DATA, bad, good), digest=published)
    for status in ("fetched", "present"):
        (got,) = download(make.request(file)).files
        assert (got.status, got.digest) == (status, sha384(DATA))


def test_a_file_without_any_digest_gets_another_name(tls_server, make) -> None:
    """The target is never an unverified file."""
    url = tls_server.serve("/f", File(DATA))
    (got,) = download(make.request(make.file(None, url))).files
    assert got.path == make.folder / f"{make.name}.unverified"
    assert (got.verified_by, got.digest) == ("nothing", sha384(DATA))
    assert not make.target.exists()


def test_a_recorded_digest_verifies(server, make) -> None:
    """With a pin the file is downloaded to the target."""
    url = server.serve("/f", File(DATA))
    request = make.request(make.file(None, url), pins=((make.name, sha384(DATA)),))
    (got,) = download(request).files
    assert (got.path, got.verified_by) == (make.target, "pinned")


def test_another_file_than_the_recorded_one_is_an_error(server, make) -> None:
    """Downloaded or present: the error names the option to accept it."""
    url = server.serve("/f", File(OTHER))
    request = make.request(make.file(None, url), pins=((make.name, sha384(DATA)),))
    with pytest.raises(IntegrityError) as fetched:
        download(request)
    assert not make.target.exists()
    make.target.write_bytes(OTHER)
    with pytest.raises(IntegrityError) as found:
        download(request)
    for error in (fetched.value, found.value):
        assert f"expected sha384 {sha384(DATA).value}, found {sha384(OTHER).value}" in error.message
        assert f"--accept {make.name}" in error.hint


def test_a_plan_changes_nothing(server, make) -> None:
    """keep, check, fetch, replace, refuse; no request, no file, no folder."""
    url = server.serve("/f", File(DATA))
    published, free = make.request(make.file(DATA, url)), make.request(make.file(None, url))
    pinned = make.request(make.file(None, url), pins=((make.name, sha384(DATA)),))
    assert [plan(one)[0].action for one in (published, free, pinned)] == ["fetch"] * 3
    assert not make.folder.exists()
    make.folder.mkdir()
    make.target.write_bytes(DATA)
    actions = [plan(one)[0].action for one in (published, free, pinned)]
    assert actions == ["keep", "check", "keep"]
    make.target.write_bytes(OTHER)
    actions = [plan(one)[0].action for one in (published, free, pinned)]
    assert actions == ["replace", "check", "refuse"]
    assert [path.name for path in make.folder.iterdir()] == [make.name]
    assert server.asked == []


def test_several_files_are_downloaded_at_a_time(server, make) -> None:
    """With `jobs`; the results are in the order of the request."""
    contents = {f"part-{number}.bin": os.urandom(20_000) for number in range(6)}
    files = tuple(
        replace(make.file(data, server.serve(f"/{name}", File(data))), name=f"below/{name}")
        for name, data in contents.items()
    )
    result = download(make.request(*files, jobs=3))
    assert [file.name for file in result.files] == [file.name for file in files]
    for name, data in contents.items():
        assert (make.folder / "below" / name).read_bytes() == data


def test_one_failure_stops_the_others(server, make) -> None:
    """The error is that of the file that failed."""
    big = os.urandom(4_000_000)
    good = make.file(big, server.serve("/good", File(big, cut=1_000_000, stall=0.3), File(big)))
    bad = replace(make.file(DATA, server.serve("/bad", page(404))), name="bad.bin")
    with pytest.raises(DownloadError, match=r"bad\.bin: no source provided the file"):
        download(make.request(good, bad, jobs=2, transport={"first_delay": 5, "longest_delay": 5}))


def test_a_folder_in_place_of_the_target_is_an_error(server, make) -> None:
    """A WorkspaceError of one sentence."""
    make.target.mkdir(parents=True)
    with pytest.raises(WorkspaceError, match="not a plain file, but a folder"):
        download(make.request(make.file(DATA, server.serve("/f", File(DATA)), size=False)))


def test_a_file_in_place_of_the_folder_is_an_error(server, make) -> None:
    """A WorkspaceError."""
    make.folder.write_bytes(b"in the way")
    with pytest.raises(WorkspaceError):
        download(make.request(make.file(DATA, server.serve("/f", File(DATA)))))
