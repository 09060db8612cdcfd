"""The machine: processes killed, a full disk, little memory, several commands at once."""

from __future__ import annotations

import hashlib
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from campaign import models
from campaign.kinds import Door
from campaign.laws import MIB, Try
from campaign.servers import send, serving

DATA = bytes(range(256)) * 4096 * 4  # 4 MiB
SHA384 = hashlib.sha384(DATA).hexdigest()


@dataclass(frozen=True)
class Shared:
    """Files of a package, and its archive."""

    files: dict[str, tuple[bytes, str]]
    archive: bytes


def _prepare() -> Shared:
    with tempfile.TemporaryDirectory() as name:
        files = models.make_files(models.write_model(Path(name, "model")))
        more = {**files, "large": (DATA, "other")}
        archive = models.write_package(Path(name, "m.tar.gz"), more)
        return Shared(more, archive.read_bytes())


MODULES = (
    "toolchain.stages.unpack.unpack",
    "toolchain.stages.verify.verify",
    "toolchain.run.runner",
)
KILLED = Door("processes killed", MODULES, _prepare, memory=400, disk=64)
FULL = Door("disk full", MODULES, _prepare, memory=400, disk=64)
MEMORY = Door("little memory", (), _prepare, memory=2000, disk=64)
TOGETHER = Door("concurrency", MODULES, _prepare, memory=400, disk=200)
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)


def _describe(name: str, size: int, sha384: str, source: str, more: str = "") -> bytes:
    """Make a model.yml of one file."""
    return f"""\
description: d
task_type: detection
framework: onnx
license: x
model_optimizer_args: []
name: m
files:
  - name: {name}
    size: {size}
    checksum: {sha384}
    source: '{source}'
{more}""".encode()


REPLACE = """\
postprocessing:
  - $type: regex_replace
    file: net.txt
    pattern: 'one'
    replacement: 'three'
"""


@contextmanager
def _serve_data() -> Iterator[int]:
    """Serve the file from any place on; yields the port."""

    def answer(client: socket.socket, head: bytes, _: int) -> None:
        offset = head.lower().partition(b"range: bytes=")[2].partition(b"-")[0]
        begin = int(offset) if offset.isdigit() else 0
        placed = f"bytes {begin}-{len(DATA) - 1}/{len(DATA)}"
        status = "206 Partial" if begin else "200 OK"
        send(client, status, ETag='"a"', Content_Range=placed, Content_Length=len(DATA) - begin)
        for start in range(begin, len(DATA), 1 << 16):
            client.sendall(DATA[start : min(start + (1 << 16), len(DATA))])

    with serving(answer) as port:
        yield port


DOWNLOAD = ("--all", "--config", "model.yml", "-o", "out")
RESULT = "out/public/m/f.bin"


@KILLED.kind("a download")
def _download(one: Try) -> None:
    target = one.final(RESULT, DATA)
    with _serve_data() as port:
        source = f"http://127.0.0.1:{port}/f.bin"
        one.write("model.yml", _describe("f.bin", len(DATA), SHA384, source))
        for _ in range(3):
            settings = {
                "kill_after": one.rng.uniform(0.0, 0.25),
                "kill_signal": one.rng.choice(SIGNALS),
            }
            one.run("omz_downloader", *DOWNLOAD, seconds=40, **settings)
        one.run("omz_downloader", *DOWNLOAD, seconds=40)
    one.expect(target.exists(), "lost file", "not downloaded afterwards")


@KILLED.kind("an unpacking")
def _unpack(one: Try) -> None:
    one.keep("m.tar.gz", one.shared.archive)
    layout = one.rng.choice(("plain", "ovms", "huggingface", "omz"))
    command = ("unpack", "m.tar.gz", "-o", "u", "--layout", layout, "-q")
    for _ in range(3):
        settings = {"kill_after": one.rng.uniform(0.0, 0.2), "kill_signal": one.rng.choice(SIGNALS)}
        one.run("matting", *command, seconds=40, **settings)
        if (one.folder / "u").exists():
            verified = one.run("matting", "verify", "u", "-q", seconds=40)
            one.expect(verified.code == 0, "wrong artefact", "a part of the package")
            (one.folder / "u").rename(one.folder / f"u{one.rng.randrange(1 << 40)}")
    done = one.run("matting", *command, seconds=40)
    one.expect(done.code == 0, "lost file", f"not unpacked afterwards: {done.errors[-200:]}")
    left = [path.name for path in one.folder.glob(".u.*")]
    one.expect(not left, "memory or disk", f"left {left}")


@KILLED.kind("a replacement in a downloaded text")
def _postprocess(one: Try) -> None:
    data = b"one two\n" * 20_000
    digest = hashlib.sha384(data).hexdigest()
    one.keep("source.txt", data)
    one.write("model.yml", _describe("net.txt", len(data), digest, "file:source.txt", REPLACE))
    target = one.folder / "out/public/m/net.txt"
    for _ in range(2):
        settings = {"kill_after": one.rng.uniform(0.0, 0.3), "kill_signal": one.rng.choice(SIGNALS)}
        one.run("omz_downloader", *DOWNLOAD, seconds=40, **settings)
    one.run("omz_downloader", *DOWNLOAD, seconds=60)
    right = target.exists() and target.read_bytes() == data.replace(b"one", b"three")
    one.expect(right, "lost file", "not replaced afterwards")


@KILLED.kind("a run over images")
def _run(one: Try) -> None:
    _write_run(one)
    settings = {"kill_after": one.rng.uniform(0.0, 1.0), "kill_signal": one.rng.choice(SIGNALS)}
    one.run("matting", *RUN, seconds=60, **settings)
    result = one.folder / "out.png"
    if result.exists():
        from PIL import Image

        with Image.open(result) as image:
            image.load()
            one.expect(image.size == models.SIZE, "wrong artefact", f"{image.size}")


RUN = ("run", "--model", "m.xml", "--src", "src.png", "--bgr", "bgr.png", "-o", "out.png", "-q")


def _write_run(one: Try) -> None:
    names = {"m.xml": "FP32/m.xml", "m.bin": "FP32/m.bin", "src.png": "sample/src.png"}
    for name, path in {**names, "bgr.png": "sample/bgr.png"}.items():
        one.keep(name, one.shared.files[path][0])


@FULL.kind("during a download")
def _full_download(one: Try) -> None:
    one.final(RESULT, DATA)
    with _serve_data() as port:
        source = f"http://127.0.0.1:{port}/f.bin"
        one.write("model.yml", _describe("f.bin", len(DATA), SHA384, source))
        limit = one.rng.randrange(1, len(DATA))
        one.refused(one.run("omz_downloader", *DOWNLOAD, seconds=40, file_size=limit))
        done = one.run("omz_downloader", *DOWNLOAD, seconds=40)
    one.expect(done.code == 0, "lost file", "not downloaded afterwards")


@FULL.kind("during an unpacking")
def _full_unpack(one: Try) -> None:
    one.keep("m.tar.gz", one.shared.archive)
    limit = one.rng.randrange(1, len(DATA) - 1)
    command = ("unpack", "m.tar.gz", "-o", "u", "-q")
    one.refused(one.run("matting", *command, seconds=40, file_size=limit))
    one.expect(not (one.folder / "u").exists(), "wrong artefact", "a part of the package")
    left = [path.name for path in one.folder.glob(".u.*")]
    one.expect(not left, "memory or disk", f"left {left}")


@FULL.kind("during a run over images")
def _full_run(one: Try) -> None:
    _write_run(one)
    size = one.rng.randrange(1, 400)
    outcome = one.run("matting", *RUN, seconds=60, file_size=size)
    if (one.folder / "out.png").exists():
        one.expect(outcome.code == 0, "wrong artefact", "a part of the result")


@FULL.kind("behind standard output, or standard output closed")
def _stdout(one: Try) -> None:
    commands = (
        ("omz_info_dumper", ("--all",)),
        ("omz_downloader", ("--print_all",)),
        ("matting", ("--help",)),
        ("omz_converter", ("--print_all",)),
    )
    program, arguments = one.rng.choice(commands)
    target = one.rng.choice(("/dev/full", ""))
    outcome = one.run(program, *arguments, seconds=40, stdout=target, anew=True)
    lines = outcome.errors.strip().splitlines()
    one.expect(len(lines) <= 1, "traceback", outcome.errors[-200:])
    one.expect(outcome.code == 1 or arguments == ("--help",), "wrong artefact", f"{outcome.code}")


@MEMORY.kind("to verify and run a package")
def _little_verify(one: Try) -> None:
    one.keep("m.tar.gz", one.shared.archive)
    addresses = one.rng.randint(60, 1500) * MIB
    command = ("verify", "m.tar.gz", "--run", "-q")
    one.run("matting", *command, seconds=60, addresses=addresses, anew=True)


@MEMORY.kind("to run over an image")
def _little_run(one: Try) -> None:
    _write_run(one)
    addresses = one.rng.randint(60, 2000) * MIB
    outcome = one.run("matting", *RUN, seconds=60, addresses=addresses, anew=True)
    if (one.folder / "out.png").exists():
        one.expect(outcome.code == 0, "wrong artefact", "a result after an error")


@MEMORY.kind("to download a file")
def _little_download(one: Try) -> None:
    one.final(RESULT, DATA)
    with _serve_data() as port:
        source = f"http://127.0.0.1:{port}/f.bin"
        one.write("model.yml", _describe("f.bin", len(DATA), SHA384, source))
        addresses = one.rng.randint(40, 400) * MIB
        one.run("omz_downloader", *DOWNLOAD, seconds=60, addresses=addresses, anew=True)


@MEMORY.kind("to show facts of the model")
def _little_info(one: Try) -> None:
    addresses = one.rng.randint(60, 1200) * MIB
    one.run("matting", "info", seconds=60, addresses=addresses, anew=True)


@TOGETHER.kind("the same download")
def _same_download(one: Try) -> None:
    target = one.final(RESULT, DATA)
    with _serve_data() as port:
        source = f"http://127.0.0.1:{port}/f.bin"
        one.write("model.yml", _describe("f.bin", len(DATA), SHA384, source))
        outcomes = one.run_all([("omz_downloader", DOWNLOAD)] * 3, seconds=60)
    one.expect(all(o.code == 0 for o in outcomes), "lost file", outcomes[0].errors[-200:])
    one.expect(target.exists(), "lost file", "not downloaded")


@TOGETHER.kind("unpackings to the same folder")
def _same_unpack(one: Try) -> None:
    one.keep("m.tar.gz", one.shared.archive)
    command = ("unpack", "m.tar.gz", "-o", "u", "-q")
    outcomes = one.run_all([("matting", command)] * 3, seconds=60)
    one.expect(any(o.code == 0 for o in outcomes), "lost file", "none was done")
    verified = one.run("matting", "verify", "u", "-q", seconds=40)
    one.expect(verified.code == 0, "wrong artefact", f"mixed: {verified.errors[-200:]}")
    left = [path.name for path in one.folder.glob(".u.*")]
    one.expect(not left, "memory or disk", f"left {left}")


@TOGETHER.kind("an unpacking and others that are killed")
def _killed_beside(one: Try) -> None:
    one.keep("m.tar.gz", one.shared.archive)
    kill_after = one.rng.uniform(0.02, 0.2)
    commands = [("matting", ("unpack", "m.tar.gz", "-o", "u", "-q"))] * 2
    one.run_all(commands, seconds=40, kill_after=kill_after)
    one.run("matting", "unpack", "m.tar.gz", "-o", "u", "-q", seconds=40)
    verified = one.run("matting", "verify", "u", "-q", seconds=40)
    one.expect(verified.code == 0, "wrong artefact", f"mixed: {verified.errors[-200:]}")


@TOGETHER.kind("runs over the same image")
def _same_run(one: Try) -> None:
    _write_run(one)
    outcomes = one.run_all([("matting", RUN)] * 2, seconds=90)
    one.expect(any(o.code == 0 for o in outcomes), "lost file", outcomes[0].errors[-200:])
