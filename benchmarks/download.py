"""Download and digest against `curl` and `sha384sum`, on loopback, in turn in one run.

Targets: at least 0.8 of the rate of `curl -o` followed by `sha384sum`, and memory that grows by
no more than 32 MiB while a large file arrives.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.outcome import Figure, conclude

RATE, GROWTH_MIB = 0.8, 32.0
BLOCK = 1 << 20
SMALL = 1 << 20  # bytes of the file after which memory is read for the first time

# Fetches a small file, then the large one, through the public function; prints seconds and growth.
FETCHER = """
import resource, sys, time
from pathlib import Path
from toolchain.catalog.records import Digest, HttpSource, ModelFile
from toolchain.stages.download.download import download
from toolchain.stages.download.request import DownloadRequest

def fetch(url, size, sha384):
    file = ModelFile(url.rpartition("/")[2], size, Digest("sha384", sha384), (HttpSource(url),))
    download(DownloadRequest(files=(file,), folder=Path(sys.argv[1])))

def peak():  # MiB
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (2 ** 20 if sys.platform == "darwin" else 2 ** 10)

fetch(sys.argv[2], int(sys.argv[3]), sys.argv[4])
before, began = peak(), time.perf_counter()
fetch(sys.argv[5], int(sys.argv[6]), sys.argv[7])
print(time.perf_counter() - began, peak() - before)
"""


def serve(folder: Path) -> None:
    """Send the files of `folder` with sendfile until killed; the port goes to stdout."""
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    while True:
        connection, _ = listening.accept()
        with connection:
            request = b""
            while b"\r\n\r\n" not in request and (piece := connection.recv(BLOCK)):
                request += piece
            if not request:
                continue
            with (folder / request.split()[1].decode().lstrip("/")).open("rb") as stream:
                size = os.fstat(stream.fileno()).st_size
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
                connection.sendall(head.encode())
                connection.sendfile(stream)


def make_file(path: Path, size: int) -> str:
    """Make a file of `size` bytes; returns its sha384."""
    hasher = hashlib.sha384()
    block = os.urandom(BLOCK)
    with path.open("wb") as stream:
        for start in range(0, size, BLOCK):
            # Every block differs, so that storage cannot deduplicate them.
            piece = (start.to_bytes(8, "little") + block[8:])[: size - start]
            hasher.update(piece)
            stream.write(piece)
    return hasher.hexdigest()


def time_curl(url: str, folder: Path, digest: str) -> float:
    """Seconds of `curl -s -o` and `sha384sum`."""
    target = folder / "curl"
    began = time.perf_counter()
    subprocess.run(["curl", "-s", "-o", str(target), url], check=True)
    told = subprocess.run(["sha384sum", str(target)], check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    target.unlink()
    assert told.stdout.split()[0] == digest
    return seconds


def time_ours(
    base: str, folder: Path, small: tuple[int, str], large: tuple[int, str]
) -> list[float]:
    """Seconds, and MiB by which memory grew."""
    arguments = [str(folder / "ours"), f"{base}/small", *map(str, small)]
    arguments += [f"{base}/large", *map(str, large)]
    told = subprocess.run(
        [sys.executable, "-c", FETCHER, *arguments], check=True, capture_output=True, text=True
    )
    shutil.rmtree(folder / "ours")
    return [float(word) for word in told.stdout.split()]


def main(arguments: Sequence[str] = ()) -> int:
    """Run the benchmark; 1 if a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.download", description=__doc__)
    parser.add_argument("--size", type=int, default=10**9, help="bytes (1000000000)")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of runs (3)")
    parser.add_argument("--folder", type=Path, help="where to write (a temporary folder)")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        serve(options.serve)
    missing = [tool for tool in ("curl", "sha384sum") if shutil.which(tool) is None]
    if missing or sys.platform == "win32":
        print(f"download: skipped, {' and '.join(missing) or 'the resource module'} not found")
        return 0
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        return conclude("download", compare(Path(name), options.size, options.rounds))


def compare(folder: Path, size: int, rounds: int) -> list[Figure]:
    """Run both in turn, `rounds` times, in alternating order."""
    served = folder / "served"
    served.mkdir()
    small = (SMALL, make_file(served / "small", SMALL))
    large = (size, make_file(served / "large", size))
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.download", "--serve", str(served)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    try:
        assert server.stdout is not None
        base = f"http://127.0.0.1:{int(server.stdout.readline())}"
        curl: list[float] = []
        ours: list[float] = []
        growth: list[float] = []
        for turn in range(rounds):
            for ours_now in (turn % 2 == 1, turn % 2 == 0):
                if ours_now:
                    seconds, mib = time_ours(base, folder, small, large)
                    ours.append(seconds)
                    growth.append(mib)
                else:
                    curl.append(time_curl(f"{base}/large", folder, large[1]))
    finally:
        server.kill()
        server.communicate()
    ratio = statistics.median(theirs / own for theirs, own in zip(curl, ours, strict=True))
    return [
        Figure(f"curl -o, then sha384sum, {size / 1e9:g} GB", statistics.median(curl), "s"),
        Figure("download with digest", statistics.median(ours), "s"),
        Figure("download's rate against theirs (median of pairs)", ratio, "x", RATE, "at least"),
        Figure("growth of memory (the largest)", max(growth), "MiB", GROWTH_MIB),
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
