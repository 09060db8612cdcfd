"""The stage: sources in turn, what is there already, pins, plans, errors."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

import pytest

from tests.support.web_server import File, page
from toolchain.catalog.records import Digest, GoogleDriveSource, PackageSource
from toolchain.errors import DownloadError, IntegrityError, WorkspaceError
from toolchain.stages.download import download, plan

DATA = os.urandom(50_000)
OTHER = os.urandom(50_000)


def sha384(data: bytes) -> Digest:
    return Digest("sha384", hashlib.sha384(data).hexdigest())


def test_a_verified_file_is_not_fetched_again(server, make) -> None:
    """A second run asks nobody and leaves the file alone."""
    request = make.request(make.file(DATA, server.serve("/f", File(DATA))))
    download(request)
    before = make.target.stat()
    (again,) = download(request).files
    assert again.status == "present"
    assert len(server.asked) == 1
    assert make.target.stat().st_mtime_ns == before.st_mtime_ns


def test_a_file_put_there_by_hand_is_verified_and_used(make) -> None:
    """No source is needed for a file that is there and right."""
    make.folder.mkdir()
    make.target.write_bytes(DATA)
    (got,) = download(make.request(make.file(DATA, "http://127.0.0.1:9/f"))).files
    assert (got.status, got.verified_by, got.digest) == ("present", "published", sha384(DATA))


def test_sources_are_tried_in_order(server, make) -> None:
    """Missing, wrong size, wrong content: each moves on, and none is accepted."""
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


def test_the_part_from_one_server_is_not_continued_from_another(server, make) -> None:
    """A mirror's file is taken whole."""
    one = server.serve("/one", File(OTHER, cut=1000))
    two = server.serve("/two", File(DATA))
    download(make.request(make.file(DATA, one, two), attempts=1))
    assert make.target.read_bytes() == DATA
    assert "range" not in server.asked[1].headers


def test_a_part_is_kept_when_the_mirrors_have_nothing(server, make) -> None:
    """The next run goes on where the first source broke off."""
    one = server.serve("/one", File(DATA, cut=20_000), File(DATA))
    two = server.serve("/two", page(404))
    request = make.request(make.file(DATA, one, two), attempts=1)
    with pytest.raises(DownloadError) as caught:
        download(request)
    assert caught.value.kept == "What arrived is kept, and the next run goes on from there."
    assert make.partial.stat().st_size == 20_000
    download(request)
    assert make.target.read_bytes() == DATA
    assert server.asked[-1].headers["range"] == "bytes=20000-"


def test_a_part_that_was_complete_needs_no_server(server, make) -> None:
    """A process that died before the rename had all of it; the next one only verifies."""
    one = server.serve("/one", File(DATA, declared=len(DATA) + 1))
    with pytest.raises(DownloadError):
        download(make.request(make.file(DATA, one, size=False), attempts=1))
    download(make.request(make.file(DATA, one), attempts=1))
    assert make.target.read_bytes() == DATA
    assert len(server.asked) == 1


def test_a_damaged_part_costs_one_transfer_more(server, make) -> None:
    """Bytes that changed on the disk are found by the digest, and fetched from the beginning."""
    url = server.serve("/f", File(DATA, cut=20_000), File(DATA))
    request = make.request(make.file(DATA, url), attempts=1)
    with pytest.raises(DownloadError):
        download(request)
    make.partial.write_bytes(OTHER[:20_000])
    download(request)
    assert make.target.read_bytes() == DATA
    assert ["range" in asked.headers for asked in server.asked] == [False, True, False]


@pytest.mark.parametrize("sidecar", ["", "{", "[]", '{"source": 1}', '{"source": "x"}'])
def test_a_part_without_a_sound_record_is_not_used(server, make, sidecar) -> None:
    """It is overwritten from the beginning."""
    make.folder.mkdir()
    make.partial.write_bytes(OTHER)
    make.partial.with_name(make.partial.name + ".json").write_text(sidecar)
    download(make.request(make.file(DATA, server.serve("/f", File(DATA)))))
    assert make.target.read_bytes() == DATA
    assert "range" not in server.asked[0].headers


def test_a_failed_fetch_leaves_what_is_there(server, make) -> None:
    """A file that is not the published one stays until a good one can take its place."""
    make.folder.mkdir()
    make.target.write_bytes(OTHER)
    url = server.serve("/f", page(500), File(DATA))
    request = make.request(make.file(DATA, url), attempts=1)
    with pytest.raises(DownloadError) as caught:
        download(request)
    assert make.target.read_bytes() == OTHER
    assert "left as it is" in caught.value.kept
    download(request)
    assert make.target.read_bytes() == DATA


def test_the_error_names_every_source_and_every_way_out(server, make) -> None:
    """Each source's reason, the URLs, the exact path for a file fetched by hand, the choice."""
    url = server.serve("/f", page(404))
    drive = GoogleDriveSource("some-id")
    server.serve("/drive", page(404))
    local = make.source(make.folder / "absent")
    request = make.request(
        make.file(DATA, url, drive, local, PackageSource("absent.bin")),
        transport={"drive_url": f"{server.base}/drive"},
        otherwise="Stay at home.",
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
    assert "Stay at home." in text


def test_without_sources_a_file_is_only_verified(make) -> None:
    """Missing or wrong, the error says which, and asks nobody."""
    request = make.request(make.file(DATA))
    with pytest.raises(DownloadError, match="is not there"):
        download(request)
    make.folder.mkdir(exist_ok=True)
    make.target.write_bytes(OTHER)
    with pytest.raises(IntegrityError, match=f"expected sha384 {sha384(DATA).value}, found"):
        download(request)
    assert make.target.read_bytes() == OTHER


def test_files_of_this_machine_are_sources(make, tmp_path) -> None:
    """They are copied, verified, and stay where they were."""
    here = tmp_path / "here.bin"
    here.write_bytes(DATA)
    (got,) = download(make.request(make.file(DATA, make.source(here)))).files
    assert make.target.read_bytes() == here.read_bytes() == DATA
    assert got.source == str(here)


def test_package_data_is_a_source_and_never_leaves_the_package(make) -> None:
    """A path out of `toolchain/data` is refused."""
    with pytest.raises(DownloadError, match=r"package data '../errors.py' has a part"):
        download(make.request(make.file(DATA, PackageSource("../errors.py"))))


def test_another_algorithm_is_checked_beside_sha384(server, make) -> None:
    """A published sha256 is held against the content; the result still carries the sha384."""
    published = Digest("sha256", hashlib.sha256(DATA).hexdigest())
    bad, good = server.serve("/bad", File(OTHER)), server.serve("/good", File(DATA))
    file = replace(make.file(DATA, bad, good), digest=published)
    for status in ("fetched", "present"):
        (got,) = download(make.request(file)).files
        assert (got.status, got.digest) == (status, sha384(DATA))


def test_a_file_without_any_digest_waits_under_another_name(server, make) -> None:
    """Nothing unverified ever stands in the target's place."""
    url = server.serve("/f", File(DATA))
    (got,) = download(make.request(make.file(None, url))).files
    assert got.path == make.folder / f"{make.name}.unverified"
    assert (got.verified_by, got.digest) == ("nothing", sha384(DATA))
    assert not make.target.exists()


def test_a_recorded_digest_verifies(server, make) -> None:
    """With a pin the file is fetched straight to its place."""
    url = server.serve("/f", File(DATA))
    request = make.request(make.file(None, url), pins=((make.name, sha384(DATA)),))
    (got,) = download(request).files
    assert (got.path, got.verified_by) == (make.target, "pinned")


def test_another_file_than_the_recorded_one_is_an_error_that_names_the_way(server, make) -> None:
    """Fetched or found, it is an IntegrityError that tells how to accept it."""
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


def test_a_plan_tells_and_touches_nothing(server, make) -> None:
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


def test_files_arrive_side_by_side(server, make) -> None:
    """With jobs several files are fetched at a time, and come back in the order of the request."""
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
    """The error is the one of the file that failed; what the others had is kept for later."""
    big = os.urandom(4_000_000)
    good = make.file(big, server.serve("/good", File(big, cut=1_000_000, stall=0.3), File(big)))
    bad = replace(make.file(DATA, server.serve("/bad", page(404))), name="bad.bin")
    with pytest.raises(DownloadError, match=r"bad\.bin: no source gave the file"):
        download(make.request(good, bad, jobs=2, transport={"first_delay": 5, "longest_delay": 5}))


def test_a_folder_in_the_target_s_place_is_said(server, make) -> None:
    """It is an error of the workspace, in one sentence."""
    make.target.mkdir(parents=True)
    with pytest.raises(WorkspaceError, match="can't read: Is a directory"):
        download(make.request(make.file(DATA, server.serve("/f", File(DATA)), size=False)))


def test_a_file_where_the_folder_should_be_is_said(server, make) -> None:
    """Likewise."""
    make.folder.write_bytes(b"in the way")
    with pytest.raises(WorkspaceError):
        download(make.request(make.file(DATA, server.serve("/f", File(DATA)))))
