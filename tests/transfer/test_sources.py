"""Whatever a server does, the result is exactly the served bytes or an error."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.downloads import QUICK
from tests.support.web_server import File, page
from toolchain.catalog.records import Digest, HttpSource, ModelFile
from toolchain.errors import DownloadError
from toolchain.stages.download.download import download
from toolchain.stages.download.request import DownloadRequest

CONTENTS = (b"abcdefghij" * 50, b"ABCDEFGHIJ" * 50, b"abcdefghij" * 40, b"")


@st.composite
def answers(draw):
    """A response with or without faults, or an error status."""
    if draw(st.integers(0, 5)) == 0:
        return page(draw(st.sampled_from([404, 416, 429, 500])))
    number = draw(st.integers(0, len(CONTENTS) - 1))
    content = CONTENTS[number]
    return File(
        data=content,
        etag=draw(st.sampled_from([f'"{number}"', None])),  # the same ETag means the same content
        cut=draw(st.none() | st.integers(0, 600)),
        declared=draw(st.none() | st.integers(0, 600)) if draw(st.booleans()) else None,
        ranges=draw(st.booleans()),
        strict=draw(st.booleans()),
        chunked=draw(st.booleans()),
    )


def try_download(request: DownloadRequest) -> Path | None:
    """The path of the file; None if no source provided it."""
    try:
        return download(request).files[0].path
    except DownloadError:
        return None


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    script=st.lists(answers(), min_size=1, max_size=6),
    runs=st.integers(1, 3),
    sized=st.booleans(),
)
def test_a_digest_admits_only_one_content(server, script, runs, sized) -> None:
    """Any sequence of faults over several runs gives the file or an error."""
    data = CONTENTS[0]
    digest = Digest("sha384", hashlib.sha384(data).hexdigest())
    url = server.serve("/f", *script)
    file = ModelFile("f", len(data) if sized else None, digest, (HttpSource(url),))
    with tempfile.TemporaryDirectory() as name:
        target = Path(name, "f")
        request = DownloadRequest(files=(file,), folder=Path(name), attempts=3, transport=QUICK)
        for _ in range(runs):
            done = try_download(request)
            assert target.exists() == (done is not None)
            assert done is None or target.read_bytes() == data


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(script=st.lists(answers(), min_size=1, max_size=6), runs=st.integers(1, 3))
def test_contents_are_never_mixed(server, script, runs) -> None:
    """Without a digest, the file is the beginning of one content."""
    url = server.serve("/f", *script)
    file = ModelFile("f", None, None, (HttpSource(url),))
    with tempfile.TemporaryDirectory() as name:
        request = DownloadRequest(files=(file,), folder=Path(name), attempts=3, transport=QUICK)
        for _ in range(runs):
            path = try_download(request)
            assert path is None or any(own.startswith(path.read_bytes()) for own in CONTENTS)


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("kind", ["pipe", "device", "large"])
def test_a_local_source_is_a_plain_file_of_the_expected_size(make, tmp_path, kind, sized) -> None:
    """A pipe, a device or a larger file is refused before anything is copied."""
    source = tmp_path / "source"
    if kind == "pipe":
        os.mkfifo(source)
    elif kind == "device":
        source.symlink_to("/dev/zero")
    else:
        source.write_bytes(bytes(2000))
    file = make.file(bytes(10), make.source(source), size=sized)
    expected = "not a plain file" if kind != "large" else "wrong size|larger than 1,000 bytes"
    with pytest.raises(DownloadError, match=expected):
        download(make.request(file, transport={"size_limit": 1000}))
    assert not make.partial.exists()
