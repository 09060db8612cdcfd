"""Several processes, killed ones, full disks, and memory."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from tests.support.web_server import File, slowly
from toolchain.errors import WorkspaceError
from toolchain.stages.download import download
from toolchain.transfer import partial as partial_module

ROOT = Path(__file__).parents[2]
DATA = os.urandom(400_000)
CHILD = textwrap.dedent(
    """
    import json, sys
    from pathlib import Path
    from toolchain.catalog.records import Digest, HttpSource, ModelFile
    from toolchain.errors import ToolchainError
    from toolchain.stages.download import DownloadRequest, download
    url, folder, size, digest, cache = json.loads(sys.argv[1])
    file = ModelFile("weights.bin", size, Digest("sha384", digest), (HttpSource(url),))
    request = DownloadRequest(
        files=(file,), folder=Path(folder), cache_dir=Path(cache) if cache else None
    )
    before = sys.argv[2:] and exec(sys.argv[2])
    try:
        print(download(request).files[0].status)
    except ToolchainError as error:
        print(type(error).__name__, *error.lines(), sep="\\n")
    exec(sys.argv[3]) if sys.argv[3:] else None
    """
)


def child(url, folder, data, cache="", *code: str) -> subprocess.Popen[str]:
    facts = [url, str(folder), len(data), hashlib.sha384(data).hexdigest(), str(cache)]
    command = [sys.executable, "-c", CHILD, json.dumps(facts), *code]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def said(process: subprocess.Popen[str]) -> str:
    with process:
        assert process.stdout is not None
        return process.stdout.read().strip()


def test_a_killed_download_is_finished_by_the_next_process(server, make) -> None:
    """After kill -9 only the rest is asked for, and the target never held a part."""
    url = server.serve("/f", slowly(DATA, 200, 0.02), slowly(DATA, 10, 0))
    first = child(url, make.folder, DATA)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if make.partial.exists() and make.partial.stat().st_size > 40_000:
            break
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    said(first)
    assert not make.target.exists()
    here = make.partial.stat().st_size
    assert 40_000 < here < len(DATA)
    assert said(child(url, make.folder, DATA)) == "fetched"
    assert make.target.read_bytes() == DATA
    assert server.asked[1].headers["range"] == f"bytes={here}-"
    assert server.asked[1].sent == len(DATA) - here


@pytest.mark.parametrize("way", ["target", "cache"])
def test_two_processes_do_not_disturb_each_other(server, tmp_path, way) -> None:
    """One target is fetched once; one cache serves two targets."""
    url = server.serve("/f", slowly(DATA, 20, 0.01))
    folders = [tmp_path / "one", tmp_path / ("one" if way == "target" else "two")]
    both = [child(url, folder, DATA, tmp_path / "cache") for folder in folders]
    statuses = sorted(map(said, both))
    if way == "target":
        assert statuses == ["fetched", "present"]
        assert server.sent == len(DATA)
    else:
        assert set(statuses) <= {"fetched", "cached"}
    digest = hashlib.sha384(DATA).hexdigest()
    assert (tmp_path / "cache" / "1" / digest[:2] / digest[2:]).read_bytes() == DATA
    for folder in folders:
        assert (folder / "weights.bin").read_bytes() == DATA


def test_a_process_that_waits_too_long_says_so(server, make) -> None:
    """Who holds the lock is not disturbed."""
    url = server.serve("/f", slowly(DATA, 20, 0.05))
    request = make.request(make.file(DATA, url), lock_wait=0.1)
    worker = threading.Thread(target=download, args=(make.request(make.file(DATA, url)),))
    worker.start()
    while not make.partial.exists():
        time.sleep(0.01)
    with pytest.raises(WorkspaceError, match=r"lock|another process"):
        download(request)
    worker.join()
    assert make.target.read_bytes() == DATA


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX")
def test_a_limit_on_files_is_an_error_of_the_workspace(server, make) -> None:
    """What could be written is kept, the target is not touched, the next run finishes."""
    url = server.serve("/f", File(DATA))
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, -1))"
    kind, sentence, *_ = said(child(url, make.folder, DATA, "", limit)).splitlines()
    assert kind == "WorkspaceError"
    assert sentence == f"{make.target}: cannot write: File too large"
    assert not make.target.exists()
    assert said(child(url, make.folder, DATA)) == "fetched"
    assert make.target.read_bytes() == DATA


def test_a_full_disk_is_said_and_damages_nothing(server, make, monkeypatch) -> None:
    """The part keeps its verified bytes, and the next run goes on from them."""
    room = [150_000]

    class Full(partial_module.io.FileIO):
        def write(self, data) -> int:
            count = min(len(data), room[0])
            room[0] -= count
            if not count:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(bytes(data[:count]))

    request = make.request(make.file(DATA, server.serve("/f", File(DATA))))
    with monkeypatch.context() as patched:
        patched.setattr(partial_module.io, "FileIO", Full)
        with pytest.raises(WorkspaceError, match="No space left on device") as caught:
            download(request)
    assert "Free some space" in caught.value.hint
    assert not make.target.exists()
    download(request)
    assert server.asked[1].headers["range"] == "bytes=150000-"
    assert make.target.read_bytes() == DATA


@pytest.mark.skipif(sys.platform == "win32", reason="memory is measured by a POSIX module")
def test_memory_does_not_grow_with_the_file(server, tmp_path) -> None:
    """200 MB more cost less than 32 MiB."""
    small, large = os.urandom(1_000_000), os.urandom(1_000_000) * 200
    peak = (
        "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss"
        " * (1 if sys.platform == 'darwin' else 1024))"
    )
    figures = []
    for data in (small, large):
        url = server.serve("/f", File(data))
        told = said(child(url, tmp_path / str(len(data)), data, "", "", peak))
        status, used = told.splitlines()
        assert status == "fetched"
        figures.append(int(used))
    assert figures[1] - figures[0] < 32 << 20
