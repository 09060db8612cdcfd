"""Web servers, Google Drive, local sources, `.netrc`, partial files."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import os
import socket
import time
from collections.abc import Callable

from campaign.damage import damage, text, value
from campaign.kinds import Door
from campaign.laws import Try
from campaign.processes import Outcome
from campaign.servers import Answer, send, serving

DOOR = Door("transport", memory=40, disk=8)
DATA = bytes(range(256)) * 2048
SHA384 = hashlib.sha384(DATA).hexdigest()
OUT = "out/f.bin"
MEBIBYTE = b"x" * (1 << 20)


def fetch(one: Try, answer: Answer, **more: object) -> Outcome:
    """Download from a server; the file has to be the published one, or not to exist."""
    one.final(OUT, DATA)
    with serving(answer) as port:
        work = {
            "url": f"http://127.0.0.1:{port}/f.bin",
            "sha384": SHA384,
            "size": len(DATA),
            **more,
        }
        return one.run("function", "fetch", json.dumps(work), seconds=30)


def simple(name: str) -> Callable[[Callable[[Try, socket.socket, bytes], None]], None]:
    """Register an answer that must not give the file."""

    def register(answer: Callable[[Try, socket.socket, bytes], None]) -> None:
        @DOOR.kind(name)
        def attempt(one: Try) -> None:
            known = one.rng.random() < 0.5
            more: dict[str, object] = {} if known else {"size": None}
            outcome = fetch(one, lambda client, head, _: answer(one, client, head), **more)
            one.refused(outcome)

    return register


@simple("a body that never ends")
def _endless(one: Try, client: socket.socket, _: bytes) -> None:
    send(client, body=DATA[: one.rng.randrange(len(DATA))])
    while True:
        client.sendall(MEBIBYTE)


@simple("chunks that never end")
def _endless_chunks(one: Try, client: socket.socket, _: bytes) -> None:
    send(client, Transfer_Encoding="chunked")
    size = one.rng.choice((1, 100, 1 << 16, 1 << 20))
    while True:
        client.sendall(f"{size:x}\r\n".encode() + MEBIBYTE[:size] + b"\r\n")


@simple("malformed chunks")
def _bad_chunks(one: Try, client: socket.socket, _: bytes) -> None:
    send(client, Transfer_Encoding="chunked")
    line = one.rng.choice(
        (b"f" * 5000, b"-1", b"zz", b"\x1b", b"", b"7fffffffffffffff", b"1" * 99999)
    )
    client.sendall(line + b"\r\n" + DATA[:1000])


@simple("headers that never end")
def _endless_headers(one: Try, client: socket.socket, _: bytes) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\n")
    line = one.rng.choice((b"x", b"A: b\r\n", b"A: " + b"c" * 60_000 + b"\r\n", b" folded\r\n"))
    while True:
        client.sendall(line * 1000)


@simple("interim responses that never end")
def _interim(_: Try, client: socket.socket, __: bytes) -> None:
    while True:
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


@simple("a status line of any text")
def _status(one: Try, client: socket.socket, _: bytes) -> None:
    code = one.rng.choice((404, 403, 500, 503, 999, 0, 10**20, 204, 206))
    reason = "\x1b]0;owned\x07" + text(one.rng, 300)
    client.sendall(
        f"HTTP/1.1 {code} {reason}\r\nContent-Length: 0\r\n\r\n".encode("utf-8", "replace")
    )


@simple("bytes that are not HTTP")
def _garbage(one: Try, client: socket.socket, _: bytes) -> None:
    client.sendall(one.rng.randbytes(one.rng.randint(1, 5000)))


@simple("a redirect to an address that is not valid")
def _bad_redirect(one: Try, client: socket.socket, _: bytes) -> None:
    fixed = ("http://[::1", "http://[foo]/", "file:///etc/passwd", "http://", "ftp://a/b", "//[")
    location = one.rng.choice((*fixed, "http://\x1b[31mX/", "http://" + text(one.rng) + "/"))
    location = location.replace("\r", "").replace("\n", "")
    send(client, f"30{one.rng.choice('12378')} Found", Location=location, Content_Length=0)


@simple("a redirect whose body never ends")
def _redirect_body(_: Try, client: socket.socket, head: bytes) -> None:
    send(client, "302 Found", Location=head.split()[1].decode() + "x")
    for _number in range(200):
        client.sendall(MEBIBYTE)


@simple("a redirect with a body of a gzip bomb")
def _redirect_bomb(_: Try, client: socket.socket, head: bytes) -> None:
    location = head.split()[1].decode() + "x"
    send(client, "302 Found", Location=location, Content_Encoding="gzip", body=BOMB)


@simple("a gzip bomb")
def _bomb(_: Try, client: socket.socket, __: bytes) -> None:
    send(client, Content_Encoding="gzip", Content_Length=len(BOMB), body=BOMB)


@simple("other bytes of the same size")
def _other(one: Try, client: socket.socket, _: bytes) -> None:
    place = one.rng.randrange(len(DATA))
    data = DATA[:place] + bytes([DATA[place] ^ 1]) + DATA[place + 1 :]
    send(client, Content_Length=len(data), body=data)


@simple("another length than declared")
def _length(one: Try, client: socket.socket, _: bytes) -> None:
    declared = one.rng.choice((0, 1, len(DATA) + 1, 10**18, "9" * 5000, "-1", "abc", "1, 2"))
    send(client, Content_Length=declared, body=DATA[: one.rng.randrange(len(DATA))])


@simple("a web page instead of the file")
def _page(one: Try, client: socket.socket, _: bytes) -> None:
    body = b"<!doctype html>" + text(one.rng, 2000).encode("utf-8", "replace")
    send(client, Content_Type="text/html", Content_Length=len(body), body=body)


@simple("no answer at all")
def _silent(one: Try, _: socket.socket, __: bytes) -> None:
    if one.rng.random() < 0.5:
        time.sleep(5)


@simple("single bytes, slowly")
def _drip(one: Try, client: socket.socket, _: bytes) -> None:
    start = b"HTTP/1.1 200 OK\r\n" if one.rng.random() < 0.5 else b"HTTP/1.1 200 OK\r\n\r\n"
    client.sendall(start)
    for _number in range(60):
        client.sendall(b"A")
        time.sleep(0.2)


@DOOR.kind("Content-Range and Retry-After of any text")
def _ranges(one: Try) -> None:
    def answer(client: socket.socket, head: bytes, _: int) -> None:
        if b"ange: bytes=" not in head:
            send(client, ETag='"a"', Content_Length=len(DATA), body=DATA[:100_000])
            return
        start = one.rng.choice(("0", "100000", "9" * 5000, "-5", text(one.rng)))
        placed = (
            f"bytes {start}-{one.rng.choice(('5', '9' * 5000))}/{'9' * one.rng.randint(1, 5000)}"
        )
        status = one.rng.choice(("206 Partial", "416 Range", "503 Busy"))
        after = one.rng.choice(("9" * 400, "-1", text(one.rng), "Fri, 99 Foo 0000 00:00:00 GMT"))
        clean = {"Content_Range": placed, "Retry_After": after, "ETag": '"a"'}
        tidy = {key: val.replace("\n", "").replace("\r", "") for key, val in clean.items()}
        send(client, status, Content_Length=5, body=b"abcde", **tidy)

    one.refused(fetch(one, answer))


@DOOR.kind("cut at any place, then continued with other content")
def _resumed(one: Try) -> None:
    cut = one.rng.randrange(1, len(DATA))
    other = damage(DATA, one.rng)
    same = one.rng.random() < 0.5

    def answer(client: socket.socket, head: bytes, number: int) -> None:
        offset = head.lower().partition(b"range: bytes=")[2].partition(b"-")[0]
        data = DATA if same or number == 0 else other
        if offset.isdigit() and int(offset) < len(data):
            begin = int(offset)
            placed = f"bytes {begin}-{len(data) - 1}/{len(data)}"
            send(
                client,
                "206 Partial",
                data[begin:],
                ETag='"a"',
                Content_Range=placed,
                Content_Length=len(data) - begin,
            )
        else:
            body = data[:cut] if number == 0 else data
            send(client, ETag='"a"', Content_Length=len(data), body=body)

    outcome = fetch(one, answer)
    if same:
        one.expect(outcome.code == 0, "lost file", f"not fetched: {outcome.errors[-200:]}")


@DOOR.kind("a partial file and its record of any content")
def _partial(one: Try) -> None:
    record = {"source": "http://127.0.0.1", "validator": '"a"', "total": len(DATA)}
    pieces = (
        json.dumps(value(one.rng)),
        json.dumps({**record, "total": value(one.rng)}),
        "[" * 90_000,
    )
    one.write("out/.f.bin.partial", damage(DATA, one.rng))
    one.write("out/.f.bin.partial.json", one.rng.choice(pieces).encode("utf-8", "replace"))

    def answer(client: socket.socket, _: bytes, __: int) -> None:
        send(client, ETag='"a"', Content_Length=len(DATA), body=DATA)

    one.expect(fetch(one, answer).code == 0, "lost file", "not fetched")


@DOOR.kind("a .netrc of any bytes")
def _netrc(one: Try) -> None:
    entry = b"machine 127.0.0.1 login \xff\xfe password x\n"
    one.write(
        "home/.netrc", one.rng.choice((entry, damage(entry, one.rng), one.rng.randbytes(300)))
    )
    one.final(OUT, DATA)
    with serving(lambda client, _, __: send(client, "404 x", Content_Length=0)) as port:
        work = {"url": f"http://127.0.0.1:{port}/f.bin", "sha384": SHA384, "size": len(DATA)}
        home = {"HOME": str(one.folder / "home")}
        one.refused(one.run("function", "fetch", json.dumps(work), environment=home, seconds=30))


@DOOR.kind("Google Drive's pages, malformed")
def _drive(one: Try) -> None:
    pages = (
        '<form id="download-form" action="{}"><input name="id" value="a"></form>',
        '<a href="{}&confirm=t&id=a">x</a>',
        "<![foo[ x ]]>{}",
        "<a href=http://[::1 {}>",
        '<form id="download-form" action="http://[::1"><input name="id" value="{}"></form>',
    )

    def answer(client: socket.socket, _: bytes, __: int) -> None:
        page = one.rng.choice(pages).format(text(one.rng, 200)).encode("utf-8", "replace")
        page = page if one.rng.random() < 0.6 else damage(page, one.rng)
        packed = one.rng.random() < 0.3
        body = gzip.compress(page) if packed else page
        extra = {"Content_Encoding": "gzip"} if packed else {}
        send(client, Content_Type="text/html", Content_Length=len(body), body=body, **extra)

    one.refused(_fetch_drive(one, answer))


@DOOR.kind("a page of Google Drive that never ends")
def _drive_endless(one: Try) -> None:
    packed = one.rng.random() < 0.5

    def answer(client: socket.socket, _: bytes, __: int) -> None:
        if packed:
            send(client, Content_Type="text/html", Content_Encoding="gzip", body=BOMB)
            return
        send(client, Content_Type="text/html")
        for _number in itertools.count():
            client.sendall(b"<a href=x>" * 100_000)

    one.refused(_fetch_drive(one, answer))


@DOOR.kind("a device, pipe, folder or link as source")
def _special(one: Try) -> None:
    kind = one.rng.choice(
        ("/dev/zero", "/dev/urandom", "pipe", "folder", "loop", "/dev/full", "short")
    )
    os.mkfifo(one.folder / "pipe")
    (one.folder / "folder").mkdir()
    (one.folder / "loop").symlink_to("loop")
    one.write("short", DATA[:-1])
    size = one.rng.choice((10, len(DATA)))
    config = MODEL.format(size=size, sha384=SHA384, source=f"file:{kind}")
    one.write("model.yml", config.encode())
    one.final("out/public/m/f.bin", DATA)
    command = ("--all", "--config", "model.yml", "-o", "out")
    one.refused(one.run("omz_downloader", *command, seconds=20))


def _fetch_drive(one: Try, answer: Answer) -> Outcome:
    one.final(OUT, DATA)
    with serving(answer) as port:
        work = {"drive": f"http://127.0.0.1:{port}/uc", "sha384": SHA384, "size": len(DATA)}
        return one.run("function", "fetch", json.dumps(work), seconds=30)


BOMB = gzip.compress(bytes(64 << 20))
MODEL = """\
description: d
task_type: detection
framework: onnx
license: x
model_optimizer_args: []
name: m
files:
  - name: f.bin
    size: {size}
    checksum: {sha384}
    source: '{source}'
"""
