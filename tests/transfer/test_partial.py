"""The partial file: several processes, killed processes, full disks, memory."""

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
from toolchain.stages.download.download import download
from toolchain.transfer import partial as partial_module

ROOT = Path(__file__).parents[2]
DATA = os.urandom(400_000)
CHILD = textwrap.dedent(
    """
    import json, sys
    from pathlib import Path
    from toolchain.catalog.records import Digest, HttpSource, ModelFile
    from toolchain.errors import ToolchainError
    from toolchain.stages.download.download import download
    from toolchain.stages.download.request import DownloadRequest
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


def start_child(url, folder, data, cache="", *code: str) -> subprocess.Popen[str]:
    facts = [url, str(folder), len(data), hashlib.sha384(data).hexdigest(), str(cache)]
    command = [sys.executable, "-c", CHILD, json.dumps(facts), *code]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def read_output(process: subprocess.Popen[str]) -> str:
    with process:
        assert process.stdout is not None
        return process.stdout.read().strip()


def test_a_killed_download_is_resumed_by_the_next_process(server, make) -> None:
    """After kill -9 only the rest is requested; the target never has a part of the file."""
    url = server.serve("/f", slowly(DATA, 200, 0.02), slowly(DATA, 10, 0))
    first = start_child(url, make.folder, DATA)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if make.partial.exists() and make.partial.stat().st_size > 40_000:
            break
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    read_output(first)
    assert not make.target.exists()
    size = make.partial.stat().st_size
    assert 40_000 < size < len(DATA)
    assert read_output(start_child(url, make.folder, DATA)) == "fetched"
    assert make.target.read_bytes() == DATA
    assert server.asked[1].headers["range"] == f"bytes={size}-"
    assert server.asked[1].sent == len(DATA) - size


@pytest.mark.parametrize("shared", ["target", "cache"])
def test_two_processes_may_share_target_or_cache(server, tmp_path, shared) -> None:
    """One target is downloaded once; one cache serves two targets."""
    url = server.serve("/f", slowly(DATA, 20, 0.01))
    folders = [tmp_path / "one", tmp_path / ("one" if shared == "target" else "two")]
    both = [start_child(url, folder, DATA, tmp_path / "cache") for folder in folders]
    statuses = sorted(map(read_output, both))
    if shared == "target":
        assert statuses == ["fetched", "present"]
        assert server.sent == len(DATA)
    else:
        assert set(statuses) <= {"fetched", "cached"}
    digest = hashlib.sha384(DATA).hexdigest()
    assert (tmp_path / "cache" / "1" / digest[:2] / digest[2:]).read_bytes() == DATA
    for folder in folders:
        assert (folder / "weights.bin").read_bytes() == DATA


def test_waiting_too_long_for_another_process_is_an_error(server, make) -> None:
    """The process that holds the lock continues."""
    url = server.serve("/f", slowly(DATA, 20, 0.05))
    request = make.request(make.file(DATA, url), lock_wait=0.1)
    worker = threading.Thread(target=download, args=(make.request(make.file(DATA, url)),))
    worker.start()
    while not make.partial.exists():
        time.sleep(0.01)
    with pytest.raises(WorkspaceError, match="locked by another process"):
        download(request)
    worker.join()
    assert make.target.read_bytes() == DATA


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX")
def test_a_file_size_limit_is_a_workspace_error(server, make) -> None:
    """The partial file is kept, the target is not created, the next run resumes."""
    url = server.serve("/f", File(DATA))
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, -1))"
    kind, sentence, *_ = read_output(start_child(url, make.folder, DATA, "", limit)).splitlines()
    assert kind == "WorkspaceError"
    assert sentence == f"{make.target}: cannot write: File too large"
    assert not make.target.exists()
    assert read_output(start_child(url, make.folder, DATA)) == "fetched"
    assert make.target.read_bytes() == DATA


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_as_partial_file_is_an_error(server, make) -> None:
    """It is not waited for; deeply nested JSON as its record is ignored."""
    request = make.request(make.file(DATA, server.serve("/f", File(DATA))))
    make.target.parent.mkdir(parents=True, exist_ok=True)
    part = partial_module.partial_path(make.target)
    part.with_name(f"{part.name}.json").write_text("[" * 100_000)
    os.mkfifo(part)
    with pytest.raises(WorkspaceError, match="not a plain file"):
        download(request)
    part.unlink()
    download(request)
    assert make.target.read_bytes() == DATA


def test_a_full_disk_is_a_workspace_error(server, make, monkeypatch) -> None:
    """The partial file is kept, and the next run resumes."""
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
    """A file 200 MB larger needs less than 32 MiB more."""
    small, large = os.urandom(1_000_000), os.urandom(1_000_000) * 200
    peak = (
        "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss"
        " * (1 if sys.platform == 'darwin' else 1024))"
    )
    figures = []
    for data in (small, large):
        url = server.serve("/f", File(data))
        output = read_output(start_child(url, tmp_path / str(len(data)), data, "", "", peak))
        status, used = output.splitlines()
        assert status == "fetched"
        figures.append(int(used))
    assert figures[1] - figures[0] < 32 << 20
