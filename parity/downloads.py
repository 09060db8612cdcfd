"""Downloads from a loopback server, with the faults that occur in practice."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from parity.environment import CONCURRENT_RUNS, SIDES, Completed, Tools, read_digests
from parity.findings import Finding, compare
from tests.support.omz_models import TAR_MODES, Served, create_archive, write_composite, write_model
from tests.support.web_server import File, Server, page, running

TOOL = "omz_downloader"
DATA = os.urandom(2_500_000)
TEXT = b"import old\nold.run()\nold.stop()\n"
TAR_OR_ZIP = ("zip", *TAR_MODES)
ANY = {"framework": "onnx", "model_optimizer_args": ["--input_model=$dl_dir/one.bin"]}
Events = list[dict[str, object]]


@dataclass(frozen=True)
class Case:
    """One model of one file.

    Attributes:
        name: Name of the case.
        code: Exit code of Open Model Zoo.
        file: The file, and how the server sends it.
        arguments: Further arguments of the downloader.
    """

    name: str
    code: int
    file: Served
    arguments: tuple[str, ...] = ()


CASES = (
    Case("good", 0, Served(DATA)),
    Case("chunked", 0, Served(DATA, (File(DATA, chunked=True),))),
    Case("longer-than-stated", 1, Served(DATA, size=len(DATA) - 100_000)),
    Case("shorter-than-stated", 1, Served(DATA, size=len(DATA) + 1)),
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
    """Compare single files, then models of several files, archives, caches and existing files."""
    with ThreadPoolExecutor(CONCURRENT_RUNS) as pool:
        checked = pool.map(lambda case: list(_compare_case(tools, folder / case.name, case)), CASES)
        for findings in list(checked):
            yield from findings
    for compare_group in (
        _compare_precisions,
        _compare_composite,
        _compare_postprocessing,
        _compare_caches,
        _compare_existing_files,
    ):
        place = folder / compare_group.__name__.strip("_")
        place.mkdir()
        with running() as server:
            yield from compare_group(tools, place, server)


def _compare_case(tools: Tools, place: Path, case: Case) -> Iterator[Finding]:
    runs = []
    for side in SIDES:
        with running() as server:
            root = place / "models" / side
            write_model(root, "public/one", {"one.bin": case.file}, server, **ANY)
            words = ("--name", "one", *case.arguments)
            runs.append(_run(tools, side, root, place, words))
    if runs[0][0].code != case.code:
        raise RuntimeError(f"{case.name}: Open Model Zoo ended with {runs[0][0]}")
    yield from _compare_runs(case.name, *runs)


def _run(
    tools: Tools, side: str, root: Path, place: Path, arguments: Sequence[object]
) -> tuple[Completed, Path]:
    """Run one side with JSON events; its output folder is below `place`."""
    words = (*arguments, "-o", place / side, "--progress_format", "json")
    return getattr(tools, side)(root, TOOL, *words), place / side


def _run_both(
    tools: Tools, root: Path, place: Path, arguments: Sequence[object]
) -> list[tuple[Completed, Path]]:
    return [_run(tools, side, root, place, arguments) for side in SIDES]


def _compare_runs(
    name: str,
    omz: tuple[Completed, Path],
    ours: tuple[Completed, Path],
    *,
    concurrent: bool = False,
) -> Iterator[Finding]:
    """Compare exit codes, events, files and errors."""
    events = [_read_events(ran) for ran, _ in (omz, ours)]
    steps = [_find_steps(found, concurrent=concurrent) for found in events]
    files = [read_digests(output) for _, output in (omz, ours)]
    codes = [omz[0].code, ours[0].code]
    texts = [
        f"exit {code}, {len(found)} events, {len(digests)} files"
        for code, found, digests in zip(codes, steps, files, strict=True)
    ]
    same = codes[0] == codes[1] and steps[0] == steps[1] and files[0] == files[1]
    if not same and texts[0] == texts[1]:
        texts = [f"{text}: {digests}" for text, digests in zip(texts, files, strict=True)]
    yield Finding(f"download.{name}", f"download: {name}", *texts, same)
    if codes[0] == 0 == codes[1]:
        sizes = map(_find_last_sizes, events)
        yield compare(f"progress.{name}", f"download: {name}: reported bytes", *sizes)
    if "Traceback" in ours[0].err:
        yield compare(f"download.{name}", f"{name}: stderr", "", "a traceback")
    elif "Traceback" in omz[0].err:
        yield compare("traceback", f"{name}: stderr", "a traceback", "a message")


def _read_events(ran: Completed) -> Events:
    return [json.loads(line) for line in ran.out.splitlines()]


def _find_steps(events: Events, *, concurrent: bool) -> list[object]:
    """All events but progress, with the order of their keys; sorted if the order may vary."""
    steps: list[object] = [
        list(event.items()) for event in events if event["$type"] != "model_file_download_progress"
    ]
    return sorted(steps, key=str) if concurrent else steps


def _find_last_sizes(events: Events) -> dict[str, object]:
    """The last reported size of each file, and the keys of that event."""
    return {
        str(event["model_file"]): (event["size"], tuple(event))
        for event in events
        if event["$type"] == "model_file_download_progress"
    }


def _compare_precisions(tools: Tools, place: Path, server: Server) -> Iterator[Finding]:
    """One of two precisions, and a file without one; then two models at the same time."""
    for name in ("one", "two"):
        files = {
            f"{folder}/{name}.{suffix}": Served(f"{name}{folder}{suffix}".encode() * 9)
            for folder in ("FP16", "FP32")
            for suffix in ("xml", "bin")
        }
        write_model(place / "models", f"intel/{name}", files | {"labels.txt": Served(b"l")}, server)
    some = ("--all", "--precisions", "FP16,FP16-INT8")
    runs = _run_both(tools, place / "models", place / "some", some)
    yield from _compare_runs("precisions", *runs)
    runs = _run_both(tools, place / "models", place / "jobs", ("--all", "-j", "2"))
    yield from _compare_runs("jobs", *runs, concurrent=True)


def _compare_composite(tools: Tools, place: Path, server: Server) -> Iterator[Finding]:
    """Two stages, the second not found; then only the first, by its name."""
    for stage, answers in (("encoder", ()), ("decoder", (page(404),))):
        files = {f"FP32/net-{stage}.{suffix}": Served(b"s", answers) for suffix in ("xml", "bin")}
        write_model(place / "models", f"intel/net/net-{stage}", files, server)
    write_composite(place / "models", "intel/net", ["net-encoder", "net-decoder"])
    for name, pattern in (("composite", "net"), ("stage", "net-enc*")):
        runs = _run_both(tools, place / "models", place / name, ("--name", pattern))
        yield from _compare_runs(name, *runs)


def _compare_postprocessing(tools: Tools, place: Path, server: Server) -> Iterator[Finding]:
    """Text replaced twice, archives of every format unpacked; a pattern that is not found."""
    files = {
        f"packed.{form}": create_archive(form, [(f"{form}/inner.txt", form.encode())])
        for form in TAR_OR_ZIP
    }
    files["code.py"] = TEXT
    steps: list[dict[str, object]] = [
        {"$type": "regex_replace", "file": "code.py", "pattern": "old", "replacement": "new"},
        {
            "$type": "regex_replace",
            "file": "code.py",
            "pattern": r"new\.(\w+)\(",
            "replacement": r"new.\1_it(",
            "count": 1,
        },
        *(
            {"$type": "unpack_archive", "file": f"packed.{form}", "format": form}
            for form in TAR_OR_ZIP
        ),
    ]
    write_model(place / "models", "public/good", files, server, postprocessing=steps, **ANY)
    wrong = [{"$type": "regex_replace", "file": "a.py", "pattern": "absent", "replacement": ""}]
    keys = {"postprocessing": wrong, **ANY}
    write_model(place / "models", "public/wrong", {"a.py": TEXT}, server, **keys)
    for name in ("good", "wrong"):
        runs = _run_both(tools, place / "models", place / name, ("--name", name))
        yield from _compare_runs(f"postprocessing-{name}", *runs)


def _compare_caches(tools: Tools, place: Path, server: Server) -> Iterator[Finding]:
    """A cache filled by one side is used by the other; damage in it is noticed."""
    write_model(place / "models", "public/one", {"one.bin": DATA}, server, **ANY)
    entries = {}
    for first, second in (SIDES, SIDES[::-1]):
        cache = place / f"cache-of-{first}"
        for side in (first, second):
            before = len(server.asked)
            words = ("--name", "one", "-o", place / f"{first}-{side}", "--cache_dir", cache)
            ran = getattr(tools, side)(place / "models", TOOL, *words)
            asked = len(server.asked) - before
            expected = (0, 1 if side == first else 0)
            what = f"cache filled by {first}, read by {side}: code, requests"
            yield compare("cache", what, expected, (ran.code, asked))
        entries[first] = read_digests(cache)
    names = [str(list(entries[side])) for side in SIDES]
    yield Finding("cache", "layout of the cache", *names, entries["omz"] == entries["ours"])
    for side in SIDES:
        (entry,) = (
            path for path in (place / f"cache-of-{side}").rglob("*") if len(path.name) == 94
        )
        entry.chmod(0o644)
        entry.write_bytes(b"damaged")
    codes = []
    for side in SIDES:
        words = ("--name", "one", "-o", place / "damaged" / side)
        cache = ("--cache_dir", place / f"cache-of-{side}")
        codes.append(getattr(tools, side)(place / "models", TOOL, *words, *cache).code)
    yield compare("cache", "damaged cache: exit code", *codes)


def _compare_existing_files(tools: Tools, place: Path, server: Server) -> Iterator[Finding]:
    """A second run, and one that fails after a good one."""
    write_model(place / "models", "public/one", {"one.bin": DATA}, server, **ANY)
    asked, kept = [], []
    for side in SIDES:
        words = ("--name", "one", "-o", place / side)
        getattr(tools, side)(place / "models", TOOL, *words)
        before = len(server.asked)
        getattr(tools, side)(place / "models", TOOL, *words)
        asked.append(len(server.asked) - before)
    yield compare("download.again", "requests of a second run", *asked)
    server.serve("/public/one/one.bin", page(404))
    for side in SIDES:
        getattr(tools, side)(place / "models", TOOL, "--name", "one", "-o", place / side)
        kept.append("kept" if read_digests(place / side) else "lost")
    yield compare("download.lost", "a good file after a failed run", *kept)
