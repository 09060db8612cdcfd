"""Downloads from a loopback server: sound, and broken in every way that happens."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from parity.environment import AT_ONCE, Ran, Tools
from parity.findings import Finding, compared
from parity.models import Served, archive, tree, write_composite, write_model
from tests.support.web_server import File, Server, page, running

TOOL = "omz_downloader"
DATA = os.urandom(2_500_000)
TEXT = b"import old\nold.run()\nold.stop()\n"
KINDS = ("zip", "tar", "gztar", "bztar", "xztar")
ANY = {"framework": "onnx", "model_optimizer_args": ["--input_model=$dl_dir/one.bin"]}
Events = list[dict[str, object]]


@dataclass(frozen=True)
class Case:
    """One model and how its file behaves.  `code`: how the incumbent ends.

    `arguments`: beyond --name and -o.
    """

    name: str
    code: int
    file: Served
    arguments: tuple[str, ...] = ()


CASES = (
    Case("good", 0, Served(DATA)),
    Case("chunked", 0, Served(DATA, (File(DATA, chunked=True),))),
    Case("longer-than-said", 1, Served(DATA, size=len(DATA) - 100_000)),
    Case("shorter-than-said", 1, Served(DATA, size=len(DATA) + 1)),
    Case("wrong-digest", 1, Served(DATA, sha384="0" * 96)),
    Case("404", 1, Served(DATA, (page(404),))),
    Case("500", 1, Served(DATA, (page(500),))),
    Case("cut", 1, Served(DATA, (File(DATA, cut=1_200_000),))),
    Case(
        "cut-once-and-retried",
        0,
        Served(DATA, (File(DATA, cut=1_200_000), File(DATA))),
        ("--num_attempts", "2"),
    ),
    Case("404-once-and-retried", 0, Served(DATA, (page(404), File(DATA))), ("--num_attempts", "2")),
)


def check(tools: Tools, folder: Path) -> Iterator[Finding]:
    """Single files, then models of many, archives, caches and what is there already."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        told = list(pool.map(lambda case: list(_case(tools, folder / case.name, case)), CASES))
    for findings in told:
        yield from findings
    for check_of in (_precisions, _composite, _postprocessing, _caches, _again):
        place = folder / check_of.__name__.strip("_")
        place.mkdir()
        with running() as server:
            yield from check_of(tools, place, server)


def _case(tools: Tools, place: Path, case: Case) -> Iterator[Finding]:
    outcomes = []
    for side in ("theirs", "ours"):
        with running() as server:
            root = place / "models" / side
            write_model(root, "public/one", {"one.bin": case.file}, server, **ANY)
            words = ("--name", "one", "-o", place / side, *case.arguments)
            ran = getattr(tools, side)(root, TOOL, *words, "--progress_format", "json")
            outcomes.append((ran, place / side))
    if outcomes[0][0].code != case.code:
        raise RuntimeError(f"{case.name}: the incumbent ended with {outcomes[0][0]}")
    yield from _told(case.name, *outcomes)


def _told(
    name: str, theirs: tuple[Ran, Path], ours: tuple[Ran, Path], *, several: bool = False
) -> Iterator[Finding]:
    """Exit code, events, the files that are there in the end, and what was said."""
    told = [_events(ran) for ran, _ in (theirs, ours)]
    steps = [_steps(events, several=several) for events in told]
    trees = [tree(output) for _, output in (theirs, ours)]
    codes = [theirs[0].code, ours[0].code]
    shown = [
        f"exit {code}, {len(events)} events, {len(files)} files"
        for code, events, files in zip(codes, steps, trees, strict=True)
    ]
    same = codes[0] == codes[1] and steps[0] == steps[1] and trees[0] == trees[1]
    if not same and shown[0] == shown[1]:
        shown = [f"{text}: {files}" for text, files in zip(shown, trees, strict=True)]
    yield Finding(f"download.{name}", f"download: {name}", *shown, same)
    if codes[0] == 0 == codes[1]:
        yield compared(f"progress.{name}", f"download: {name}: bytes told", *map(_reached, told))
    if "Traceback" in ours[0].err:
        yield compared(f"download.{name}", f"{name}: said on stderr", "", "a traceback")
    elif "Traceback" in theirs[0].err:
        yield compared("traceback", f"{name}: said on stderr", "a traceback", "a sentence")


def _events(ran: Ran) -> Events:
    return [json.loads(line) for line in ran.out.splitlines()]


def _steps(events: Events, *, several: bool) -> list[object]:
    """All but progress, with the order of their keys; per model where several ran at once."""
    steps: list[object] = [
        list(event.items()) for event in events if event["$type"] != "model_file_download_progress"
    ]
    return sorted(steps, key=str) if several else steps


def _reached(events: Events) -> dict[str, object]:
    """The last size that was told of each file, and the keys it was told with."""
    return {
        str(event["model_file"]): (event["size"], tuple(event))
        for event in events
        if event["$type"] == "model_file_download_progress"
    }


def _pair(
    tools: Tools, root: Path, place: Path, arguments: Sequence[object]
) -> list[tuple[Ran, Path]]:
    outcomes = []
    for side in ("theirs", "ours"):
        words = (*arguments, "-o", place / side, "--progress_format", "json")
        outcomes.append((getattr(tools, side)(root, TOOL, *words), place / side))
    return outcomes


def _precisions(tools: Tools, place: Path, server: Server) -> Iterator[Finding]:
    """Two precisions and a file beside them, of which one is asked for; several at once."""
    for name in ("one", "two"):
        files = {
            f"{folder}/{name}.{suffix}": Served(f"{name}{folder}{suffix}".encode() * 9)
            for folder in ("FP16", "FP32")
            for suffix in ("xml", "bin")
        }
        write_model(place / "models", f"intel/{name}", files | {"labels.txt": Served(b"l")}, server)
    some = ("--all", "--precisions", "FP16,FP16-INT8")
    yield from _told("precisions", *_pair(tools, place / "models", place / "some", some))
    both = _pair(tools, place / "models", place / "jobs", ("--all", "-j", "2"))
    yield from _told("jobs", *both, several=True)


def _composite(tools: Tools, place: Path, server: Server) -> Iterator[Finding]:
    """Two stages, of which the second can't be had; then the first alone, by its name."""
    for stage, answers in (("encoder", ()), ("decoder", (page(404),))):
        files = {f"FP32/net-{stage}.{suffix}": Served(b"s", answers) for suffix in ("xml", "bin")}
        write_model(place / "models", f"intel/net/net-{stage}", files, server)
    write_composite(place / "models", "intel/net", ["net-encoder", "net-decoder"])
    whole = _pair(tools, place / "models", place / "whole", ("--name", "net"))
    yield from _told("composite", *whole)
    stage = _pair(tools, place / "models", place / "stage", ("--name", "net-enc*"))
    yield from _told("stage", *stage)


def _postprocessing(tools: Tools, place: Path, server: Server) -> Iterator[Finding]:
    """Text replaced twice, archives of every format unpacked; a pattern that is not there."""
    packed = {kind: archive(kind, {f"{kind}/inner.txt": kind.encode()}) for kind in KINDS}
    files = {f"packed.{kind}": Served(data) for kind, data in packed.items()}
    files["code.py"] = Served(TEXT)
    steps: list[dict[str, object]] = [
        {"$type": "regex_replace", "file": "code.py", "pattern": "old", "replacement": "new"},
        {
            "$type": "regex_replace",
            "file": "code.py",
            "pattern": r"new\.(\w+)\(",
            "replacement": r"new.\1_it(",
            "count": 1,
        },
        *({"$type": "unpack_archive", "file": f"packed.{kind}", "format": kind} for kind in KINDS),
    ]
    write_model(place / "models", "public/good", files, server, postprocessing=steps, **ANY)
    wrong = [{"$type": "regex_replace", "file": "a.py", "pattern": "absent", "replacement": ""}]
    write_model(
        place / "models",
        "public/wrong",
        {"a.py": Served(TEXT)},
        server,
        postprocessing=wrong,
        **ANY,
    )
    for name in ("good", "wrong"):
        pair = _pair(tools, place / "models", place / name, ("--name", name))
        yield from _told(f"postprocessing-{name}", *pair)


def _caches(tools: Tools, place: Path, server: Server) -> Iterator[Finding]:
    """A cache that one filled is all that the other needs; damage in it is noticed."""
    write_model(place / "models", "public/one", {"one.bin": Served(DATA)}, server, **ANY)
    entries = {}
    for first, second in (("theirs", "ours"), ("ours", "theirs")):
        cache = place / f"cache-of-{first}"
        for side in (first, second):
            before = len(server.asked)
            words = ("--name", "one", "-o", place / f"{first}-{side}", "--cache_dir", cache)
            ran = getattr(tools, side)(place / "models", TOOL, *words)
            asked = len(server.asked) - before
            expected = (0, 1 if side == first else 0)
            what = f"cache filled by {first}, read by {side}: code, requests"
            yield compared("cache", what, expected, (ran.code, asked))
        entries[first] = tree(cache)
    yield Finding(
        "cache", "layout of the cache", *_names(entries), entries["theirs"] == entries["ours"]
    )
    for side in ("theirs", "ours"):
        (entry,) = (
            path for path in (place / f"cache-of-{side}").rglob("*") if len(path.name) == 94
        )
        entry.chmod(0o644)
        entry.write_bytes(b"damaged")
    codes = []
    for side in ("theirs", "ours"):
        words = ("--name", "one", "-o", place / "damaged" / side)
        cache = ("--cache_dir", place / f"cache-of-{side}")
        codes.append(getattr(tools, side)(place / "models", TOOL, *words, *cache).code)
    yield compared("cache", "damaged cache: exit code", *codes)


def _names(entries: dict[str, dict[str, str]]) -> tuple[str, str]:
    return str(list(entries["theirs"])), str(list(entries["ours"]))


def _again(tools: Tools, place: Path, server: Server) -> Iterator[Finding]:
    """A second run, and one that fails where a good file was."""
    write_model(place / "models", "public/one", {"one.bin": Served(DATA)}, server, **ANY)
    asked, kept = [], []
    for side in ("theirs", "ours"):
        words = ("--name", "one", "-o", place / side)
        getattr(tools, side)(place / "models", TOOL, *words)
        before = len(server.asked)
        getattr(tools, side)(place / "models", TOOL, *words)
        asked.append(len(server.asked) - before)
    yield compared("download.again", "requests of a second run", *asked)
    server.serve("/public/one/one.bin", page(404))
    for side in ("theirs", "ours"):
        getattr(tools, side)(place / "models", TOOL, "--name", "one", "-o", place / side)
        kept.append("kept" if tree(place / side) else "lost")
    yield compared("download.lost", "a good file after a failed run", *kept)
